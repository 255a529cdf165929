//! Any bytes as a recipe; one that is read answers for any path.
#![no_main]

use countersign::path::TreePath;
use countersign::recipe::Recipe;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(recipe) = Recipe::parse(data) else { return };
    assert!(!recipe.outputs.is_empty());
    let path = TreePath::from_bytes(b"out/a.b/c").unwrap();
    recipe.excludes(&path);
    recipe.is_output(&path);
});
