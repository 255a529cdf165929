//! A rebuild's result in words and as JSON.

use super::super::compare::Located;
use super::super::copies::{copies_json, opaque_json};
use super::super::exit::Exit;
use super::super::ui;
use super::Outcome;
use super::published::Published;
use crate::build::Isolation;
use crate::compare;
use crate::rebuild::Output;
use serde_json::json;
use std::path::Path;

/// Says what came of it.
pub(super) fn report(outcome: &Outcome, published: &Published, kept: Option<&Path>, exit: Exit) {
    let Outcome { args, chosen, vouchers, plan, built, judgement, copies } = outcome;
    let built = &built[0].0;
    let release = &plan.order().release;
    let signed = match chosen.reference.environment {
        Some(signed) if signed == built.environment => "as signed".to_owned(),
        Some(signed) => format!("another one; signed is sha256:{signed}"),
        None => "the manifest names none".to_owned(),
    };
    let files = judgement.outputs.iter().filter(|output| output.is_file).count();
    let last = match exit {
        Exit::Yes => format!("identical: {} of {release}", ui::count(files, "file")),
        Exit::NotDeterministic => format!("not deterministic: {} runs of {release} disagree", outcome.runs()),
        _ if judgement.differing().count() == 0 => {
            format!("different: rebuilt as signed, but what is published is not: {release}")
        }
        _ => {
            let total = judgement.outputs.len();
            let good = total - judgement.differing().count();
            format!("different: {good} of {total} outputs of {release} are identical")
        }
    };
    if args.flags.json {
        let document = json!({
            "schema": "urn:countersign:schema:rebuild:v1",
            "verdict": judgement.worst(),
            "deterministic": judgement.deterministic,
            "runs": outcome.runs(),
            "manifest": { "sha256": chosen.reference.payload },
            "signer": chosen.signer_check(),
            "source": { "sha256": plan.tree().digest() },
            "buildOrder": { "sha256": plan.order().digest() },
            "environment": { "signed": chosen.reference.environment, "here": built.environment },
            "vouchers": vouchers.json(),
            "observation": built.observation,
            "outputs": judgement.outputs.iter().map(output_json).collect::<Vec<_>>(),
            "copies": copies_json(copies),
            "opaque": opaque_json(&built.opaque),
            "published": published.located.iter().map(Located::json).collect::<Vec<_>>(),
            "publishedDiffersFromSigned": published.foreign.iter().map(|d| d.path.escaped()).collect::<Vec<_>>(),
            "kept": kept.map(Path::to_string_lossy),
        });
        ui::document(&document);
        ui::say(&last);
    } else {
        let mut text = format!(
            "manifest     sha256:{}\nsigner       {}\nsource       sha256:{} as signed\nbuild order  sha256:{}\nenvironment  sha256:{} {signed}\n",
            chosen.reference.payload,
            ui::escape(&chosen.signer_words()),
            plan.tree().digest(),
            plan.order().digest(),
            built.environment,
        );
        for (name, value) in vouchers.rows() {
            text += &format!("{name:<12} {}\n", ui::escape(&value));
        }
        for output in &judgement.outputs {
            let mut line = format!("{}: {}", ui::escape(&output.path.escaped()), output.verdict.word());
            if !output.what.is_empty() {
                let what: Vec<String> = output.what.iter().map(|what| what.words("signed", "rebuilt")).collect();
                line += &format!(": {}", what.join(", "));
            }
            text += &format!("{line}\n");
        }
        for difference in &published.foreign {
            let what: Vec<String> = difference.what.iter().map(|what| what.words("published", "signed")).collect();
            text += &format!("{}: {}\n", ui::escape(&difference.path.escaped()), what.join(", "));
        }
        for located in &published.located {
            text += &format!("{}\n", located.line("published", "rebuilt"));
        }
        text += &format!("{last}\n");
        ui::data(&text);
    }
    if let Some(dir) = kept {
        ui::say(&format!("kept in {}", ui::escape(&dir.display().to_string())));
    }
    if args.sandbox.isolation() == Isolation::None {
        ui::say("note: built without isolation; recorded as `observed`");
    }
}

fn output_json(output: &Output) -> serde_json::Value {
    json!({
        "name": output.path.escaped(),
        "verdict": output.verdict,
        "what": output.what.iter().map(compare::What::word).collect::<Vec<_>>(),
        "signed": output.reference,
        "rebuilt": output.rebuilt,
    })
}
