//! The text of a new policy.

use crate::signature::PublicKey;
use std::fmt::Write as _;
use std::num::NonZeroU32;

/// A policy with comments, for `policy init`: names and keys, and how many rebuilders and approvals. `None` for `rebuilders = "none"`. Whether it can be
/// met, [`super::Policy::parse`] says.
pub fn template(
    vendors: &[(String, PublicKey)],
    rebuilders: &[(String, PublicKey)],
    required: Option<NonZeroU32>,
    approvers: &[(String, PublicKey)],
    approvals: Option<NonZeroU32>,
) -> String {
    let mut text = String::from(
        "# Whose signature counts as what. This file is yours: keep it where the vendor cannot write.\n\
         # `countersign policy check` says in words what it accepts.\n",
    );
    for (role, signers) in [("vendor", vendors), ("rebuilder", rebuilders)] {
        for (name, key) in signers {
            let _ = write!(
                text,
                "\n[[signer]]\nname = {}\nkey = \"{key}\"   # {}\nroles = [\"{role}\"]\n\
                 # builders = [{}]\n# organisation = \"\"      # as you know it, not as it says\n# jurisdiction = \"\"\n# platform = \"\"\n",
                quoted(name),
                key.fingerprint(),
                quoted(&key.default_builder()),
            );
        }
    }
    for (name, key) in approvers {
        let _ = write!(
            text,
            "\n[[signer]]\nname = {}\nkey = \"{key}\"   # {}\nroles = [\"approver\"]\n# organisation = \"\"\n",
            quoted(name),
            key.fingerprint(),
        );
    }
    let approvals = approvals.map_or(String::new(), |count| format!("approvals = {count}\n"));
    let required = required.map_or("\"none\"".to_owned(), |count| count.to_string());
    let _ = write!(
        text,
        "\n[require]\nvendor = 1\nrebuilders = {required}\n{approvals}# organisations = 2      # different ones among the rebuilders\n\
         # jurisdictions = 2\n# platforms = 2\n# observation = [\"isolated\"]\n# vetoes = 1             # so many rebuilders' dissent refuses\n"
    );
    text
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
