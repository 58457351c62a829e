//! Compression of an initramfs, within the limits of the kernel's decompressors.
//!
//! - zstd: one frame made by several workers. The size of a worker's job is fixed, so the result does not depend
//!   on the number of processors.
//! - xz: one stream of several blocks; the kernel knows no check but CRC32 (Documentation/staging/xz.rst).
//! - gzip: one member without name and time. Kernels end the archive with the first member.

use std::{
    fmt,
    io::{self, Write},
    ops::RangeInclusive,
    str::FromStr,
    thread,
};

use flate2::{GzBuilder, write::GzEncoder};
use liblzma::{
    stream::{Check, MtStreamBuilder},
    write::XzEncoder,
};
use zstd::zstd_safe::CParameter;

/// Beyond 19 zstd needs windows of 32 MiB and more, on the machine that boots too.
const ZSTD_LEVELS: RangeInclusive<i32> = 1..=19;
const GZIP_LEVELS: RangeInclusive<i32> = 1..=9;
const XZ_LEVELS: RangeInclusive<i32> = 0..=9;

/// zstd's own default, and the level the speed of packing is measured at.
const ZSTD_DEFAULT: i32 = 3;
const GZIP_DEFAULT: i32 = 6;
/// Its dictionary of 4 MiB lets two workers run within [`MEMORY`].
const XZ_DEFAULT: i32 = 3;

/// What the workers may use together, in bytes. One worker always runs, whatever it takes.
const MEMORY: u64 = 120 << 20;

/// How an initramfs is compressed.
///
/// Written as `zstd`, `gzip`, `xz` or `none`, the first three with an optional level: `xz:9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// zstd, level 1 to 19.
    Zstd(i32),
    /// gzip, level 1 to 9.
    Gzip(i32),
    /// xz, level 0 to 9.
    Xz(i32),
    /// Not at all.
    None,
}

/// A compression that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseCompressionError {
    /// The part before the colon.
    #[error("unknown compression '{0}'; known are zstd, gzip, xz and none")]
    Method(String),
    /// The part after the colon is no number.
    #[error("compression level '{0}' is not a number")]
    NotANumber(String),
    /// The level does not exist.
    #[error("{method} has no compression level {level}; it goes from {} to {}", .range.start(), .range.end())]
    Level {
        /// `zstd`, `gzip` or `xz`.
        method: &'static str,
        /// The level asked for.
        level: i32,
        /// The levels there are.
        range: RangeInclusive<i32>,
    },
    /// `none:3`
    #[error("compression 'none' takes no level")]
    NoneLevel,
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd(ZSTD_DEFAULT)
    }
}

impl Compression {
    /// The name without the level.
    pub fn method(self) -> &'static str {
        match self {
            Self::Zstd(_) => "zstd",
            Self::Gzip(_) => "gzip",
            Self::Xz(_) => "xz",
            Self::None => "none",
        }
    }

    /// The kernel's build option for it; [`None`](Self::None) needs no decompressor.
    pub fn kernel_option(self) -> Option<&'static str> {
        match self {
            Self::Zstd(_) => Some("CONFIG_RD_ZSTD"),
            Self::Gzip(_) => Some("CONFIG_RD_GZIP"),
            Self::Xz(_) => Some("CONFIG_RD_XZ"),
            Self::None => None,
        }
    }

    /// Each compression once, at its default level.
    pub fn all() -> [Self; 4] {
        [Self::Zstd(ZSTD_DEFAULT), Self::Gzip(GZIP_DEFAULT), Self::Xz(XZ_DEFAULT), Self::None]
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zstd(level) | Self::Gzip(level) | Self::Xz(level) => {
                write!(f, "{}:{level}", self.method())
            }
            Self::None => f.write_str("none"),
        }
    }
}

impl FromStr for Compression {
    type Err = ParseCompressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (method, level) = match text.split_once(':') {
            Some((method, level)) => (method, Some(level)),
            None => (text, None),
        };
        let within = |method, default, range: RangeInclusive<i32>| {
            let Some(text) = level else { return Ok(default) };
            let level = text.parse().map_err(|_| ParseCompressionError::NotANumber(text.to_owned()))?;
            if range.contains(&level) {
                Ok(level)
            } else {
                Err(ParseCompressionError::Level { method, level, range })
            }
        };
        match method {
            "zstd" => within("zstd", ZSTD_DEFAULT, ZSTD_LEVELS).map(Self::Zstd),
            "gzip" => within("gzip", GZIP_DEFAULT, GZIP_LEVELS).map(Self::Gzip),
            "xz" => within("xz", XZ_DEFAULT, XZ_LEVELS).map(Self::Xz),
            "none" if level.is_some() => Err(ParseCompressionError::NoneLevel),
            "none" => Ok(Self::None),
            _ => Err(ParseCompressionError::Method(method.to_owned())),
        }
    }
}

/// Compresses what is written to it. Call [`finish`](Self::finish): dropping it leaves a truncated stream.
#[must_use = "a stream that is not finished cannot be read"]
pub struct Encoder<W: Write>(Inner<W>);

enum Inner<W: Write> {
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Gzip(GzEncoder<W>),
    Xz(XzEncoder<W>),
    Plain(W),
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encoder").finish_non_exhaustive()
    }
}

impl<W: Write> Encoder<W> {
    /// Compresses to `out`, zstd and xz with as many workers as there are processors and memory for them.
    ///
    /// # Errors
    ///
    /// The compressor cannot be set up, as for want of memory.
    pub fn new(out: W, compression: Compression) -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        Self::with_workers(out, compression, processors)
    }

    fn with_workers(out: W, compression: Compression, processors: u32) -> io::Result<Self> {
        Ok(Self(match compression {
            Compression::Zstd(level) => Inner::Zstd(zstd_encoder(out, level, processors)?),
            Compression::Gzip(level) => {
                let level = flate2::Compression::new(u32::try_from(level).unwrap_or(6));
                Inner::Gzip(GzBuilder::new().mtime(0).write(out, level))
            }
            Compression::Xz(level) => Inner::Xz(xz_encoder(out, level, processors)?),
            Compression::None => Inner::Plain(out),
        }))
    }

    /// Ends the stream and hands back the writer underneath.
    ///
    /// # Errors
    ///
    /// Those of the writer underneath.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Inner::Zstd(encoder) => encoder.finish(),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Xz(encoder) => encoder.finish(),
            Inner::Plain(out) => Ok(out),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Zstd(encoder) => encoder.write(bytes),
            Inner::Gzip(encoder) => encoder.write(bytes),
            Inner::Xz(encoder) => encoder.write(bytes),
            Inner::Plain(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Inner::Zstd(encoder) => encoder.flush(),
            Inner::Gzip(encoder) => encoder.flush(),
            Inner::Xz(encoder) => encoder.flush(),
            Inner::Plain(out) => out.flush(),
        }
    }
}

fn zstd_encoder<W: Write>(
    out: W,
    level: i32,
    processors: u32,
) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    let mut encoder = zstd::stream::write::Encoder::new(out, level)?;
    // The transfer over TFTP has a checksum of 16 bits; this one has 32 and the kernel looks at it.
    encoder.include_checksum(true)?;
    // Window and tables per worker, measured with GNU time.
    let (job, tables): (u32, u64) = match level {
        ..=8 => (4 << 20, 12 << 20),
        9..=12 => (8 << 20, 30 << 20),
        // The window of level 19; larger jobs would cost each worker as much again.
        _ => (8 << 20, 90 << 20),
    };
    // Each worker holds a job's input and output, and the main thread fills the next ones.
    let per_worker = u64::from(job) * 2 + tables;
    encoder.multithread(workers(processors, per_worker))?;
    encoder.set_parameter(CParameter::JobSize(job))?;
    Ok(encoder)
}

fn xz_encoder<W: Write>(out: W, level: i32, processors: u32) -> io::Result<XzEncoder<W>> {
    let mut builder = MtStreamBuilder::new();
    builder.preset(u32::try_from(level).unwrap_or(6)).check(Check::Crc32).threads(1);
    builder.threads(workers(processors, builder.memusage()));
    Ok(XzEncoder::new_stream(out, builder.encoder()?))
}

fn workers(processors: u32, bytes_each: u64) -> u32 {
    let fit = u32::try_from(MEMORY / bytes_each.max(1)).unwrap_or(u32::MAX);
    processors.min(fit).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    #[test]
    fn parses_method_and_level() {
        for (text, expected) in [
            ("zstd", Compression::Zstd(3)),
            ("zstd:19", Compression::Zstd(19)),
            ("gzip", Compression::Gzip(6)),
            ("gzip:1", Compression::Gzip(1)),
            ("xz:0", Compression::Xz(0)),
            ("none", Compression::None),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_compression() {
        for (text, expected) in [
            ("", "unknown compression ''; known are zstd, gzip, xz and none"),
            ("ZSTD", "unknown compression 'ZSTD'; known are zstd, gzip, xz and none"),
            ("zstd:", "compression level '' is not a number"),
            ("zstd:fast", "compression level 'fast' is not a number"),
            ("zstd:22", "zstd has no compression level 22; it goes from 1 to 19"),
            ("gzip:0", "gzip has no compression level 0; it goes from 1 to 9"),
            ("xz:-1", "xz has no compression level -1; it goes from 0 to 9"),
            ("none:3", "compression 'none' takes no level"),
        ] {
            assert_eq!(text.parse::<Compression>().unwrap_err().to_string(), expected);
        }
    }

    fn sample(size: usize) -> Vec<u8> {
        let mut state = 1_u32;
        (0..size)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if i % 3 == 0 { (state >> 24) as u8 } else { b'x' }
            })
            .collect()
    }

    fn pack(bytes: &[u8], compression: Compression, processors: u32) -> Vec<u8> {
        let mut encoder = Encoder::with_workers(Vec::new(), compression, processors).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(packed: &[u8], compression: Compression) -> Vec<u8> {
        let mut out = Vec::new();
        match compression {
            Compression::Zstd(_) => zstd::stream::read::Decoder::new(packed).unwrap().read_to_end(&mut out),
            Compression::Gzip(_) => flate2::read::GzDecoder::new(packed).read_to_end(&mut out),
            Compression::Xz(_) => liblzma::read::XzDecoder::new(packed).read_to_end(&mut out),
            Compression::None => (&mut &*packed).read_to_end(&mut out),
        }
        .unwrap();
        out
    }

    #[test]
    fn unpacks_to_the_same_whatever_the_number_of_processors() {
        let bytes = sample(9 << 20);
        for compression in [Compression::Zstd(1), Compression::Gzip(1), Compression::Xz(0), Compression::None]
        {
            let one = pack(&bytes, compression, 1);
            assert!(unpack(&one, compression) == bytes, "{compression}");
            assert!(pack(&bytes, compression, 5) == one, "{compression}");
        }
    }

    #[test]
    fn xz_uses_the_check_the_kernel_knows() {
        let packed = pack(b"x", Compression::Xz(0), 2);
        // Stream header: magic, then flags, whose second byte is the check; 1 is CRC32.
        assert_eq!(&packed[..8], b"\xFD7zXZ\0\0\x01");
    }

    #[test]
    fn gzip_has_no_time_and_no_name() {
        assert_eq!(&pack(b"x", Compression::Gzip(6), 1)[..8], b"\x1F\x8B\x08\0\0\0\0\0");
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,12}") {
            if let Ok(compression) = text.parse::<Compression>() {
                prop_assert_eq!(compression.to_string().parse(), Ok(compression));
            }
        }
    }
}
