//! The binary `weir`. Everything it does is in the library.

fn main() -> std::process::ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    keep_large_buffers();
    weir::cli::main()
}

/// Has the C library's allocator keep what it is given back for the next buffer. By default it returns blocks of 128 KiB and
/// more to the system at once, and these are the sizes that records are read, received and sent in: every such buffer
/// would begin with page faults, which cost a consumer a tenth of its rate.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn keep_large_buffers() {
    const MMAP_THRESHOLD_BYTES: libc::c_int = 4 << 20;
    const TRIM_THRESHOLD_BYTES: libc::c_int = 16 << 20;
    // SAFETY: mallopt changes two numbers of the allocator; no other thread runs yet. What it refuses stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES);
    }
}
