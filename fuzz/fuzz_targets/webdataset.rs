#![no_main]

libfuzzer_sys::fuzz_target!(init: microclip_pipe_fuzz::init(), |bytes: &[u8]| microclip_pipe_fuzz::target::webdataset(bytes));
