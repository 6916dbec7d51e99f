//! An output plane cut into bands, and the input of a band brought into the form that the loops
//! of `math::correlate` read.
//!
//! Where the window moves by 1, its input is copied as it is, with the padding around it: the
//! rows that the loops read start at every tap. Elsewhere it is unfolded: one row a tap. Bands
//! bound the memory that this takes, and keep it in the processor's caches.

use super::super::window::{Axis, Window};
use crate::math::correlate::{SLACK, padded};
use crate::math::vector;

/// Elements of a band at most, about; and of the input that is brought in for it.
const BAND_LEN: usize = 960;
const DATA_LEN: usize = 1 << 18;

/// Part of an output plane: whole rows, or part of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    depth: usize,
    row: usize,
    rows: usize,
    column: usize,
    width: usize,
    /// Elements from one row to the next in a band.
    pitch: usize,
}

impl Band {
    /// Elements, those between rows counted.
    pub(super) fn len(&self) -> usize {
        (self.rows - 1) * self.pitch + self.width
    }
}

/// All bands of an output plane.
pub(super) struct Bands {
    window: Window,
    /// Channels of the input that are summed.
    channels: usize,
    /// Whether the input is copied rather than unfolded.
    slides: bool,
    /// Where the loops' rows start: one a channel and tap.
    pub(super) starts: Vec<usize>,
    pub(super) list: Vec<Band>,
    /// Rows of the copied input of a channel and tap in depth.
    slab_rows: usize,
}

impl Bands {
    /// Bands for a window over `channels` planes.
    pub(super) fn new(window: Window, channels: usize) -> Bands {
        let [depth, row, column] = window.0;
        let pitch = column.output + column.extent() - 1;
        let slab = |rows: usize, width: usize| {
            let slab = [channels, depth.kernel, rows + row.extent() - 1, width];
            slab.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
        };
        let width = column.output.min(BAND_LEN) + column.extent() - 1;
        // Elements between rows are computed in vain: unfolding costs less than many of them.
        let slides = window.all(|axis| axis.stride == 1)
            && (row.output == 1 || 2 * pitch <= 3 * column.output)
            && slab(1, width).is_some_and(|len| len <= 4 * DATA_LEN);
        if slides {
            let most = (BAND_LEN / pitch.max(1)).clamp(1, row.output.max(1));
            let fits = |rows: &usize| slab(*rows, pitch).is_some_and(|len| len <= DATA_LEN);
            let rows = (1..=most).rev().find(fits).unwrap_or(1);
            Bands::with(window, channels, true, (rows, BAND_LEN))
        } else {
            let len = (DATA_LEN / (channels * window.taps()).max(1)).clamp(16, BAND_LEN);
            Bands::with(window, channels, false, (len / column.output.max(1), len))
        }
    }

    /// Bands that are always unfolded: for the way back.
    pub(super) fn unfolded(window: Window, channels: usize) -> Bands {
        let len = BAND_LEN / 2;
        Bands::with(window, channels, false, (len / window.0[2].output.max(1), len))
    }

    fn with(window: Window, channels: usize, slides: bool, (rows, width): (usize, usize)) -> Bands {
        let [depth, row, column] = window.0;
        let rows = even(row.output, rows);
        let width = if rows > 1 { column.output } else { even(column.output, width) };
        let pitch = if slides { width + column.extent() - 1 } else { width };
        let mut list = Vec::new();
        if width > 0 && rows > 0 {
            for at in 0..depth.output {
                for first in (0..row.output).step_by(rows) {
                    list.extend((0..column.output).step_by(width).map(|start| Band {
                        depth: at,
                        row: first,
                        rows: rows.min(row.output - first),
                        column: start,
                        width: width.min(column.output - start),
                        pitch,
                    }));
                }
            }
        }
        let mut bands = Bands {
            window,
            channels,
            slides,
            starts: Vec::new(),
            list,
            slab_rows: rows + row.extent() - 1,
        };
        bands.starts = if slides { bands.starts_of_slabs(pitch) } else { bands.starts_of_rows() };
        bands
    }

    fn starts_of_slabs(&self, pitch: usize) -> Vec<usize> {
        let [depth, row, column] = self.window.0;
        let mut starts = Vec::with_capacity(self.channels * self.window.taps());
        for slab in 0..self.channels * depth.kernel {
            for tap in 0..row.kernel {
                let first = (slab * self.slab_rows + tap * row.dilation) * pitch;
                starts.extend((0..column.kernel).map(|tap| first + tap * column.dilation));
            }
        }
        starts
    }

    fn starts_of_rows(&self) -> Vec<usize> {
        // Not a power of 2 apart: such rows would share few lines of the cache.
        let step = padded(self.band_len()) + SLACK / 4;
        (0..self.channels * self.window.taps()).map(|row| row * step).collect()
    }

    /// Elements of the largest band.
    pub(super) fn band_len(&self) -> usize {
        self.list.iter().map(Band::len).max().unwrap_or(0)
    }

    /// Elements of memory that [`Bands::load`] fills, and the loops read.
    pub(super) fn data_len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0) + padded(self.band_len()) + SLACK
    }

    /// Brings in the input of a band. `planes`: the channels that are summed. `first`: whether
    /// `data` holds anything else than what came of this function for another sample.
    pub(super) fn load(&self, band: &Band, planes: &[f32], data: &mut [f32], first: bool) {
        // What is not written below is padding, and stays so where there is one band only.
        if first || self.list.len() > 1 {
            data.fill(0.0);
        }
        match self.slides {
            true => vector::vectorized(
                #[inline(always)]
                || self.copy(band, planes, data),
            ),
            false => self.unfold(band, planes, data),
        }
    }

    #[inline(always)]
    fn copy(&self, band: &Band, planes: &[f32], data: &mut [f32]) {
        let [depth, row, column] = self.window.0;
        let rows = band.rows + row.extent() - 1;
        let columns = inside(column.origin(band.column), band.pitch, column.input);
        let (from, first) = (columns.start, column.origin(band.column) + columns.start as isize);
        if columns.is_empty() {
            return;
        }
        let slabs = data.chunks_mut(self.slab_rows * band.pitch);
        for (slab, number) in slabs.zip(0..self.channels * depth.kernel) {
            let (channel, tap) = (number / depth.kernel, number % depth.kernel);
            let plane = &planes[channel * self.window.input_len()..][..self.window.input_len()];
            let at_depth = depth.origin(band.depth) + (tap * depth.dilation) as isize;
            let at_rows = inside(row.origin(band.row), rows, row.input);
            for at in at_rows {
                let at_row = row.origin(band.row) + at as isize;
                let Some(line) = self.line(plane, at_depth, at_row) else { break };
                let out = &mut slab[at * band.pitch + from..][..columns.len()];
                put(out, &line[first as usize..], 0.0);
            }
        }
    }

    /// A row of an input plane; `None` in the padding.
    fn line<'a>(&self, plane: &'a [f32], depth: isize, row: isize) -> Option<&'a [f32]> {
        let [depths, rows, columns] = self.window.0;
        let inside = |at: isize, axis: Axis| usize::try_from(at).ok().filter(|&at| at < axis.input);
        let first = (inside(depth, depths)? * rows.input + inside(row, rows)?) * columns.input;
        Some(&plane[first..first + columns.input])
    }

    fn unfold(&self, band: &Band, planes: &[f32], data: &mut [f32]) {
        for (number, &start) in self.starts.iter().enumerate() {
            let out = &mut data[start..start + band.len()];
            let (plane, places) = self.tap_lines(band, number);
            let plane = &planes[plane * self.window.input_len()..][..self.window.input_len()];
            let stride = self.window.0[2].stride;
            for (out, (depth, row)) in out.chunks_exact_mut(band.width).zip(places.lines(band)) {
                let inside = places.inside.clone();
                let Some(line) = self.line(plane, depth, row).filter(|_| !inside.is_empty()) else {
                    continue;
                };
                let (out, line) = (&mut out[inside], &line[places.first..]);
                match stride {
                    1 => out.copy_from_slice(&line[..out.len()]),
                    2 => gather::<2>(out, line),
                    _ => out
                        .iter_mut()
                        .zip(line.iter().step_by(stride))
                        .for_each(|(out, &value)| *out = value),
                }
            }
        }
    }

    /// The reverse of unfolding: adds what belongs to row `number` of a band to the input.
    pub(super) fn fold(&self, band: &Band, number: usize, values: &[f32], planes: &mut [f32]) {
        let (plane, places) = self.tap_lines(band, number);
        let [depths, rows, columns] = self.window.0;
        let plane = &mut planes[plane * self.window.input_len()..][..self.window.input_len()];
        for (values, (depth, row)) in values.chunks_exact(band.width).zip(places.lines(band)) {
            let inside = |at: isize, axis: Axis| (0..axis.input as isize).contains(&at);
            if !inside(depth, depths) || !inside(row, rows) || places.inside.is_empty() {
                continue;
            }
            let first = (depth as usize * rows.input + row as usize) * columns.input;
            let line = &mut plane[first..first + columns.input][places.first..];
            let values = &values[places.inside.clone()];
            match columns.stride {
                1 => line.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
                2 => scatter::<2>(line, values),
                stride => line
                    .iter_mut()
                    .step_by(stride)
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value),
            }
        }
    }

    /// The plane of an unfolded row, and where its tap reads.
    fn tap_lines(&self, band: &Band, number: usize) -> (usize, Places) {
        let [depth, row, column] = self.window.0;
        let (number, tap) = (number / column.kernel, number % column.kernel);
        let inside = column.places(tap);
        let clip = |place: usize| place.clamp(band.column, band.column + band.width) - band.column;
        let inside = clip(inside.start)..clip(inside.end);
        let first = column.origin(band.column + inside.start) + (tap * column.dilation) as isize;
        let (number, tap) = (number / row.kernel, number % row.kernel);
        let row = (row.origin(band.row) + (tap * row.dilation) as isize, row.stride);
        let (plane, tap) = (number / depth.kernel, number % depth.kernel);
        let depth = depth.origin(band.depth) + (tap * depth.dilation) as isize;
        // Not used where nothing is inside.
        let first = usize::try_from(first).unwrap_or(0);
        (plane, Places { depth, row, inside, first })
    }

    /// Writes what was computed for a band into an output plane, plus `bias`.
    #[inline(always)]
    pub(super) fn store(&self, band: &Band, values: &[f32], plane: &mut [f32], bias: f32) {
        for (row, values) in values.chunks(band.pitch).take(band.rows).enumerate() {
            put(&mut plane[self.start(band, row)..][..band.width], values, bias);
        }
    }

    /// The reverse of [`Bands::store`] for `left` of [`crate::math::correlate::dots`]: brings in a
    /// band of an output plane with zeros between the rows and after them.
    #[inline(always)]
    pub(super) fn load_output(&self, band: &Band, plane: &[f32], data: &mut [f32]) {
        let (body, rest) = data.split_at_mut(band.len());
        for (row, out) in body.chunks_mut(band.pitch).enumerate() {
            let line = &plane[self.start(band, row)..][..band.width];
            let (out, gap) = out.split_at_mut(band.width);
            put(out, line, 0.0);
            for gap in gap {
                *gap = 0.0;
            }
        }
        rest.fill(0.0);
    }

    /// Where a row of a band starts in an output plane.
    fn start(&self, band: &Band, row: usize) -> usize {
        let [_, rows, columns] = self.window.0;
        (band.depth * rows.output + band.row + row) * columns.output + band.column
    }
}

/// Where one tap reads in a band.
struct Places {
    depth: isize,
    /// First row, and rows from one to the next.
    row: (isize, usize),
    /// Places of a row at which the tap is inside the input.
    inside: std::ops::Range<usize>,
    /// What it reads at the first of them.
    first: usize,
}

impl Places {
    /// Depth and row of the input for each row of the band.
    fn lines(&self, band: &Band) -> impl Iterator<Item = (isize, isize)> + use<> {
        let (depth, (first, stride)) = (self.depth, self.row);
        (0..band.rows).map(move |row| (depth, first + (row * stride) as isize))
    }
}

/// `len` cut into parts of about equal size, none above `most`: the size of the largest.
fn even(len: usize, most: usize) -> usize {
    len.div_ceil(len.div_ceil(most.clamp(1, len.max(1))).max(1))
}

/// Of `len` elements, the first of which is element `first` of an axis of `size`: those inside.
fn inside(first: isize, len: usize, size: usize) -> std::ops::Range<usize> {
    let from = (-first).clamp(0, len as isize);
    let to = (size as isize - first).clamp(from, len as isize);
    from as usize..to as usize
}

/// `out[i] = line[i] + addend`, for rows that are so short that calling a function to copy them
/// takes longer than copying: whole vectors, the last of which may overlap the one before.
#[inline(always)]
fn put(out: &mut [f32], line: &[f32], addend: f32) {
    const LANES: usize = 8;
    let line = &line[..out.len()];
    let (chunks, rest) = out.as_chunks_mut::<LANES>();
    let is_whole = rest.is_empty();
    for (out, line) in chunks.iter_mut().zip(line.as_chunks::<LANES>().0) {
        *out = plus(line, addend);
    }
    match (out.last_chunk_mut::<LANES>(), line.last_chunk::<LANES>()) {
        (Some(out), Some(line)) if !is_whole => *out = plus(line, addend),
        (Some(_), Some(_)) => {}
        _ => {
            for (out, &value) in out.iter_mut().zip(line) {
                *out = value + addend;
            }
        }
    }
}

#[inline(always)]
fn plus<const LANES: usize>(line: &[f32; LANES], addend: f32) -> [f32; LANES] {
    let mut sums = *line;
    for sum in &mut sums {
        *sum += addend;
    }
    sums
}

/// Every `N`th element.
fn gather<const N: usize>(out: &mut [f32], line: &[f32]) {
    let (groups, rest) = line.as_chunks::<N>();
    let values = groups.iter().map(|group| group[0]).chain(rest.first().copied());
    out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
}

/// Adds to every `N`th element.
fn scatter<const N: usize>(line: &mut [f32], values: &[f32]) {
    let (groups, rest) = line.as_chunks_mut::<N>();
    let sums = groups.iter_mut().map(|group| &mut group[0]).chain(rest.first_mut());
    sums.zip(values).for_each(|(sum, value)| *sum += value);
}
