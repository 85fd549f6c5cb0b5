use weir_log::{Entry, LogConfig, Storage};

use super::*;
