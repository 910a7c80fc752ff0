//! Whether a JPEG file is whole.

use std::io::{self, BufRead, Read};

/// The end of the image.
const END: u8 = 0xd9;

/// Whether the file goes on to the marker that ends its image. What follows does not count.
///
/// A decoder fills what is missing with grey, so that a file that was cut off still gives an image.
pub(super) fn is_whole(mut file: impl BufRead) -> io::Result<bool> {
    while let Some(marker) = next_marker(&mut file)? {
        match marker {
            END => return Ok(true),
            // These stand alone: the start of the image, restarts, a temporary one.
            0x01 | 0xd0..=0xd8 => {}
            _ => skip_segment(&mut file)?,
        }
    }
    Ok(false)
}

/// The code of the next marker, or `None` at the end of the file. Between segments stand entropy
/// coded data, in which 0 follows a byte 0xff that is none.
fn next_marker(file: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        file.skip_until(0xff)?;
        let mut code = [0xff];
        while code == [0xff] {
            if file.read(&mut code)? == 0 {
                return Ok(None);
            }
        }
        if code != [0] {
            return Ok(Some(code[0]));
        }
    }
}

/// Passes over a segment: its length in two bytes, which counts them, and its contents.
fn skip_segment(file: &mut impl BufRead) -> io::Result<()> {
    let mut length = [0; 2];
    if let Err(error) = file.read_exact(&mut length) {
        // The end of the file is found by the next marker.
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(()) } else { Err(error) };
    }
    let contents = u64::from(u16::from_be_bytes(length)).saturating_sub(2);
    io::copy(&mut file.take(contents), &mut io::sink())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> bool {
        is_whole(bytes).unwrap()
    }

    #[test]
    fn the_end_is_found_behind_segments_and_data() {
        // A segment that holds an image of its own; two scans with an escaped byte, a restart and
        // a fill byte.
        let image =
            b"\xff\xd8\xff\xe1\x00\x06\xff\xd8\xff\xd9\xff\xda\x00\x03\x07ab\xff\x00\xff\xd3c\
                      \xff\xff\xda\x00\x02d\xff\xd9";
        assert!(whole(image));
        assert!(whole(&[&image[..], b"\xff\xda more"].concat()));
        for end in 0..image.len() {
            assert!(!whole(&image[..end]), "cut off at {end}");
        }
    }
}
