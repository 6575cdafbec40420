//! One allocator serves the whole process. If libtorch kept its own, a pass over a million pictures
//! would hold several gigabytes in the holes of its heap.

use std::process::Command;

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn libtorch_asks_the_program_for_memory() {
    // The dynamic loader tells where it found each name.
    let program = env!("CARGO_BIN_EXE_microclip-pipe");
    let said = Command::new(program).arg("--version").envs([("LD_DEBUG", "bindings"), ("LD_BIND_NOW", "1")]).output();
    let said = String::from_utf8(said.unwrap().stderr).unwrap();
    for (library, name) in [("libc10.so", "posix_memalign"), ("libtorch_cpu.so", "malloc"), ("libtorch_cpu.so", "free")]
    {
        let bound = said.lines().find(|line| line.contains(library) && line.contains(&format!("`{name}'")));
        let bound = bound.unwrap_or_else(|| panic!("{library} does not use {name}"));
        let (_, to) = bound.split_once(" to ").unwrap();
        assert!(to.starts_with(program), "{bound}");
    }
}
