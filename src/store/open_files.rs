//! How many files this process may have open: a column of a large table is read from all its parts
//! at once ([`super::column`]), and many systems allow a process 1,024 files unless it asks for
//! more.

/// Allows as many open files as the system lets this process ask for. Does nothing if it cannot.
pub fn allow_all() {
    // SAFETY: both calls only read and write the structure that they are given.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_files_that_may_be_asked_for_are_allowed() {
        super::allow_all();
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 1 };
        // SAFETY: the call only writes the structure that it is given.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
        assert_eq!(limit.rlim_cur, limit.rlim_max);
    }
}
