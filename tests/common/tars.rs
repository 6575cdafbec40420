//! Tars as `tar` and WebDataset's writer make them, and as nobody should.

use tar::{Builder, EntryType, Header};

/// A tar of ordinary files, in order, with the mark at its end.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in files {
        append(&mut builder, name, bytes);
    }
    builder.into_inner().unwrap()
}

/// Adds an ordinary file, with a long name as GNU tar writes it.
pub fn append(builder: &mut Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, bytes).unwrap();
}

/// Adds a header as it is, whatever it claims, and then bytes up to a whole block.
pub fn append_raw(builder: &mut Builder<Vec<u8>>, name: &[u8], kind: EntryType, claimed: u64, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(claimed);
    header.set_mode(0o644);
    if kind == EntryType::GNUSparse {
        header.as_gnu_mut().unwrap().set_real_size(claimed);
    }
    if kind == EntryType::Symlink || kind == EntryType::Link {
        header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
    }
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
}
