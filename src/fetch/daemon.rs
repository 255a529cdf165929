//! `git://`: one connection, over which all is said.

use super::{MAX_CONNECT, MAX_SILENCE, Remote, Service, explain};
use std::io::{BufReader, Read, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};

const PORT: u16 = 9418;

pub(super) struct Daemon {
    stream: BufReader<TcpStream>,
    hello: Vec<u8>,
}

impl Daemon {
    pub(super) fn connect(remote: &Remote) -> Result<Daemon, String> {
        let authority = &remote.authority;
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let place = if has_port { authority.clone() } else { format!("{authority}:{PORT}") };
        let mut last = format!("there is no such host as {authority}");
        for address in place.to_socket_addrs().map_err(|err| explain(&err))? {
            match TcpStream::connect_timeout(&address, MAX_CONNECT) {
                Ok(stream) => {
                    let silence = Some(MAX_SILENCE);
                    let set = stream.set_read_timeout(silence).and_then(|()| stream.set_write_timeout(silence));
                    set.map_err(|err| explain(&err))?;
                    let text = format!("git-upload-pack {}\0host={authority}\0\0version=2\0", remote.path);
                    let hello = format!("{:04x}{text}", text.len() + 4).into_bytes();
                    return Ok(Daemon { stream: BufReader::with_capacity(64 << 10, stream), hello });
                }
                Err(err) => last = explain(&err),
            }
        }
        Err(last)
    }
}

impl Service for Daemon {
    fn advertised(&mut self) -> Result<Box<dyn Read + '_>, String> {
        let hello = std::mem::take(&mut self.hello);
        self.ask(&hello)
    }

    fn ask(&mut self, request: &[u8]) -> Result<Box<dyn Read + '_>, String> {
        self.stream.get_mut().write_all(request).map_err(|err| explain(&err))?;
        Ok(Box::new(&mut self.stream))
    }
}
