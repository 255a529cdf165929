//! The `countersign` program: parse, run, exit code.

fn main() -> ! {
    std::process::exit(countersign::cli::main() as i32)
}
