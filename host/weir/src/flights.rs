//! The data set of the demo, which also is what the benchmarks send: real lines, not zeros. See `data/README.md`.

use bytes::Bytes;

use crate::cli::Failure;

/// The CSV file, compressed.
static COMPRESSED: &[u8] = include_bytes!("../data/flights-2013h1.csv.zst");

/// Bytes of the CSV file.
const CSV_BYTES: usize = 15_269_898;

/// Its first line.
pub(crate) const HEADER: &str = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,\
                                 tailnum,origin,dest,air_time,distance,hour,minute,time_hour";

/// All flights, one a line, without the heading; the last line has its end as well.
pub(crate) fn lines() -> Result<Bytes, Failure> {
    let broken = |what: String| {
        Failure::new(
            format!("the data set in this program is damaged: {what}"),
            "build it anew",
        )
    };
    let csv = zstd::bulk::decompress(COMPRESSED, CSV_BYTES).map_err(|error| broken(error.to_string()))?;
    let csv = Bytes::from(csv);
    match csv.iter().position(|byte| *byte == b'\n') {
        Some(end) if csv[..end] == *HEADER.as_bytes() => Ok(csv.slice(end + 1..)),
        _ => Err(broken("it has another heading".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_set_is_what_its_description_says() {
        let lines = lines().unwrap();
        assert_eq!(lines.len() + HEADER.len() + 1, CSV_BYTES);
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 166_158);
        assert_eq!(lines.last(), Some(&b'\n'));
        let columns = HEADER.split(',').count();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            assert_eq!(line.split(|byte| *byte == b',').count(), columns);
        }
    }
}
