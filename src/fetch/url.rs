//! Where a repository is, as somebody typed it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest URL.
const MAX_URL: usize = 4096;

/// A place from which commits can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    /// `file://`: a repository on this machine.
    File(PathBuf),
    /// Somewhere else.
    Remote(Remote),
}

/// A repository that a server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Host, and port where it is not the scheme's own.
    pub authority: String,
    /// Begins with a slash.
    pub path: String,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Smart HTTP.
    Http,
    /// Smart HTTP over TLS.
    Https,
    /// `git daemon`.
    Git,
}

impl Scheme {
    fn word(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Git => "git",
        }
    }
}

/// A URL that is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// ssh, in one of its two forms.
    #[error("over ssh another program would have to be run")]
    Ssh,
    /// Another one that is not known.
    #[error("only https://, http://, git:// and file:// are known")]
    Scheme,
    /// `user:password@`.
    #[error("names and passwords in it would be printed and recorded")]
    Login,
    /// Anything else.
    #[error("it is no plain URL of a repository: scheme, host and path, and nothing else")]
    Form,
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.word(), self.authority, self.path)
    }
}

impl Url {
    /// What is typed like a URL; `None` for a path.
    pub fn of(text: &Path) -> Option<Result<Url, UrlRefused>> {
        let text = text.to_str()?;
        let (scheme, rest) = text.split_once("://")?;
        let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(is_scheme) {
            return None;
        }
        Some(parse(&scheme.to_ascii_lowercase(), rest))
    }

    /// Whether it is as ssh has it without a scheme: `user@host:path`.
    pub fn is_ssh(text: &Path) -> bool {
        let Some((user, rest)) = text.to_str().and_then(|text| text.split_once('@')) else { return false };
        rest.split_once(':').is_some_and(|(host, path)| {
            let plain = |text: &str| !text.is_empty() && !text.contains('/');
            plain(user) && plain(host) && !path.is_empty()
        })
    }
}

fn parse(scheme: &str, rest: &str) -> Result<Url, UrlRefused> {
    let scheme = match scheme {
        "https" => Some(Scheme::Https),
        "http" => Some(Scheme::Http),
        "git" => Some(Scheme::Git),
        "file" => None,
        "ssh" | "git+ssh" | "ssh+git" => return Err(UrlRefused::Ssh),
        _ => return Err(UrlRefused::Scheme),
    };
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\\?#\"<>^`{|}".contains(&byte);
    let at = rest.find('/').ok_or(UrlRefused::Form)?;
    let (authority, path) = rest.split_at(at);
    if authority.contains('@') {
        return Err(UrlRefused::Login);
    }
    let Some(scheme) = scheme else {
        // What is escaped there, a path can say plainly.
        return match authority.is_empty() && !path.contains('%') {
            true => Ok(Url::File(PathBuf::from(path))),
            false => Err(UrlRefused::Form),
        };
    };
    if rest.len() > MAX_URL || !path.bytes().all(plain) || !is_authority(authority) || path == "/" {
        return Err(UrlRefused::Form);
    }
    Ok(Url::Remote(Remote { scheme, authority: authority.to_ascii_lowercase(), path: path.to_owned() }))
}

fn is_authority(text: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0) && text.bytes().all(|b| b.is_ascii_digit());
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok()
            && (rest.is_empty() || rest.strip_prefix(':').is_some_and(port));
    }
    let (host, rest) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !host.is_empty() && host.len() <= 253 && host.bytes().all(name) && !host.starts_with('-') && rest.is_none_or(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Result<Url, UrlRefused>> {
        Url::of(Path::new(text))
    }

    #[test]
    fn urls() {
        for text in [
            "https://example.org/a/b.git",
            "http://127.0.0.1:8000/x",
            "git://[::1]:9418/x",
            "https://example.org/~me/a%20b.git",
        ] {
            match of(text) {
                Some(Ok(Url::Remote(remote))) => assert_eq!(remote.to_string(), text),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(of("file:///srv/x.git"), Some(Ok(Url::File("/srv/x.git".into()))));
        for path in ["", "x", "/srv/x.git", "a:b", "C:/x", "://x", "a b://x", "git@example.org:a/b"] {
            assert_eq!(of(path), None, "{path}");
        }
        for (text, why) in [
            ("ssh://example.org/x", UrlRefused::Ssh),
            ("git+ssh://git@example.org/x", UrlRefused::Ssh),
            ("ftp://example.org/x", UrlRefused::Scheme),
            ("ext::sh://x", UrlRefused::Scheme),
            ("https://me:secret@example.org/x", UrlRefused::Login),
            ("https://token@example.org/x", UrlRefused::Login),
            ("https://example.org", UrlRefused::Form),
            ("https://example.org/", UrlRefused::Form),
            ("https:///x", UrlRefused::Form),
            ("https://example.org:0/x", UrlRefused::Form),
            ("https://example.org:65536/x", UrlRefused::Form),
            ("https://example.org:+80/x", UrlRefused::Form),
            ("https://-x/x", UrlRefused::Form),
            ("git://host/a b", UrlRefused::Form),
            ("git://host/a\0b", UrlRefused::Form),
            ("https://example.org/x?service=y", UrlRefused::Form),
            ("https://example.org/x#y", UrlRefused::Form),
            ("https://example.org\\evil/x", UrlRefused::Form),
            ("https://ex\u{e4}mple.org/x", UrlRefused::Form),
            ("file://host/x", UrlRefused::Form),
            ("file:///x%20y", UrlRefused::Form),
        ] {
            match of(text) {
                Some(Err(err)) => assert_eq!(err, why, "{text}"),
                // A scheme that is none is a path.
                other => assert!(text.starts_with("ext::") && other.is_none(), "{text}: {other:?}"),
            }
        }
        for (text, is) in
            [("git@example.org:a/b", true), ("me@host:x", true), ("a@b", false), ("dir/a@b:c", false), ("a@b:", false)]
        {
            assert_eq!(Url::is_ssh(Path::new(text)), is, "{text}");
        }
    }
}
