//! What is said to a server, and what it may answer.

use super::line::{Channel, DELIMITER, FLUSH, Limited, Line, put};
use super::{AGENT, MAX_TIME, Network, Remote, Scheme, Service, daemon, explain, http};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::Instant;

/// Most bytes of an answer that is no pack.
const MAX_TEXT: u64 = 64 << 20;
/// Most references that are fetched where the server gives no single commit.
const MAX_WANTED: usize = 10_000;

/// A server with what it says of itself.
pub(crate) struct Server {
    service: Box<dyn Service>,
    deadline: Instant,
    /// Whether ids are of SHA-256.
    pub(crate) sha256: bool,
    /// Whether the server said which object format it has, and must be told so.
    names_format: bool,
    /// Whether a commit may be asked for without what was before it.
    shallow: bool,
}

/// What a server says to people, in one line that can be shown.
pub(super) fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.trim().lines().next().unwrap_or_default();
    let plain: String = line
        .chars()
        .take(200)
        .flat_map(|c| match c.is_control() {
            true => format!("\\x{:02x}", u32::from(c)).chars().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect();
    format!("the server says: {plain}")
}

/// The text of a line, without its end.
fn text(line: Vec<u8>) -> Result<String, String> {
    if let Some(message) = line.strip_prefix(b"ERR ") {
        return Err(said(message));
    }
    let text = String::from_utf8(line).map_err(|_| "the server's answer is not UTF-8".to_owned())?;
    Ok(text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
}

fn line(input: &mut dyn Read) -> Result<Line, String> {
    Line::read(input).map_err(|err| explain(&err))
}

impl Server {
    /// Connects, and reads what the server says of itself.
    pub(crate) fn connect(remote: &Remote, network: &Network) -> Result<Server, String> {
        let deadline = Instant::now() + MAX_TIME;
        let mut service: Box<dyn Service> = match remote.scheme {
            Scheme::Git => Box::new(daemon::Daemon::connect(remote)?),
            Scheme::Http | Scheme::Https => Box::new(http::Http::new(remote, network)?),
        };
        let capabilities = capabilities(&mut Limited::new(service.advertised()?, MAX_TEXT, deadline))?;
        let has = |name: &str| capabilities.iter().any(|it| it.split('=').next() == Some(name));
        if !has("ls-refs") || !has("fetch") {
            return Err("the server lets nothing be fetched".to_owned());
        }
        let format = capabilities.iter().find_map(|it| it.strip_prefix("object-format="));
        let fetch = capabilities.iter().find_map(|it| it.strip_prefix("fetch="));
        let sha256 = match format {
            None | Some("sha1") => false,
            Some("sha256") => true,
            Some(_) => return Err("the server names its objects in a way that is not known".to_owned()),
        };
        let shallow = fetch.is_some_and(|features| features.split(' ').any(|it| it == "shallow"));
        Ok(Server { service, deadline, sha256, names_format: format.is_some(), shallow })
    }

    fn request(&self, command: &str, lines: &[String]) -> Vec<u8> {
        let mut request = Vec::new();
        put(&mut request, &format!("command={command}\n"));
        put(&mut request, &format!("agent={AGENT}\n"));
        if self.names_format {
            put(&mut request, if self.sha256 { "object-format=sha256\n" } else { "object-format=sha1\n" });
        }
        request.extend(DELIMITER);
        lines.iter().for_each(|line| put(&mut request, &format!("{line}\n")));
        request.extend(FLUSH);
        request
    }

    /// The references whose names begin so, with the ids that the server says.
    pub(crate) fn references(&mut self, begin: &[String]) -> Result<BTreeMap<String, String>, String> {
        let request =
            self.request("ls-refs", &begin.iter().map(|name| format!("ref-prefix {name}")).collect::<Vec<_>>());
        let mut input = Limited::new(self.service.ask(&request)?, MAX_TEXT, self.deadline);
        let mut found = BTreeMap::new();
        loop {
            let line = match line(&mut input)? {
                Line::Flush => return Ok(found),
                Line::Delimiter => return Err("the server does not speak git's protocol".to_owned()),
                Line::Data(line) => text(line)?,
            };
            let mut words = line.split(' ');
            let (Some(id), Some(name)) = (words.next(), words.next()) else {
                return Err("the server does not speak git's protocol".to_owned());
            };
            if found.insert(name.to_owned(), id.to_owned()).is_some() {
                return Err("the server names one reference twice".to_owned());
            }
        }
    }

    /// Asks for objects by their ids, with what they need: of commits before them nothing, if the server knows how and `alone` is said. The
    /// pack is handed to `take` as it comes.
    pub(crate) fn fetch<E: From<String>>(
        &mut self,
        ids: &[String],
        alone: bool,
        limit: u64,
        take: &mut dyn FnMut(&mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        if ids.len() > MAX_WANTED {
            return Err(format!(
                "the server does not give that commit alone, and has more than {MAX_WANTED} branches and tags"
            )
            .into());
        }
        let alone = alone && self.shallow;
        let mut lines = vec!["no-progress".to_owned(), "ofs-delta".to_owned()];
        lines.extend(alone.then(|| "deepen 1".to_owned()));
        lines.extend(ids.iter().map(|id| format!("want {id}")));
        lines.push("done".to_owned());
        let request = self.request("fetch", &lines);
        // Lines have lengths and channels, too.
        let mut input = Limited::new(self.service.ask(&request)?, limit + limit / 64 + MAX_TEXT, self.deadline);
        loop {
            let Line::Data(heading) = line(&mut input)? else {
                return Err("the server's answer has no pack".to_owned().into());
            };
            match text(heading)?.as_str() {
                "packfile" => break,
                "shallow-info" if alone => {
                    while let Line::Data(line) = line(&mut input)? {
                        if !text(line)?.starts_with("shallow ") {
                            return Err("the server's answer is to another question".to_owned().into());
                        }
                    }
                }
                _ => return Err("the server's answer is to another question".to_owned().into()),
            }
        }
        let mut pack = Channel::new(input);
        take(&mut pack)?;
        // To its end, so that what is wrong with it is known.
        let rest = io::copy(&mut pack, &mut io::sink()).map_err(|err| explain(&err))?;
        if rest > 0 {
            return Err("the server's answer goes on behind the pack".to_owned().into());
        }
        Ok(())
    }
}

/// What a server of version 2 says of itself.
fn capabilities(input: &mut dyn Read) -> Result<Vec<String>, String> {
    let older = || "the server speaks an older protocol than version 2 of git's".to_owned();
    let mut first = line(input)?;
    if let Line::Data(data) = &first
        && data.starts_with(b"# service=")
    {
        if data.strip_suffix(b"\n").unwrap_or(data) != b"# service=git-upload-pack" || line(input)? != Line::Flush {
            return Err("the server does not speak git's protocol".to_owned());
        }
        first = line(input)?;
    }
    match first {
        Line::Data(data) if text(data.clone())? == "version 2" => {}
        _ => return Err(older()),
    }
    let mut found = Vec::new();
    loop {
        match line(input)? {
            Line::Flush => return Ok(found),
            Line::Delimiter => return Err("the server does not speak git's protocol".to_owned()),
            Line::Data(data) => found.push(text(data)?),
        }
    }
}
