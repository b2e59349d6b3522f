//! Tells the program which rustls it is built with: the one in Cargo.lock.

fn main() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    let lock = std::fs::read_to_string("Cargo.lock").expect("Cargo.lock");
    let version = |name: &str| {
        let entry = lock.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{name}\"\n")));
        let line = entry.and_then(|entry| entry.lines().find_map(|line| line.strip_prefix("version = ")));
        line.expect(name).trim_matches('"').to_owned()
    };
    println!("cargo:rustc-env=RUSTLS=rustls {} (aws-lc-rs {})", version("rustls"), version("aws-lc-rs"));
}
