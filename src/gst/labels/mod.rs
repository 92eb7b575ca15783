//! Pseudo-labels from pipelines: of a video file from beginning to end, and of a camera while it runs.

mod recorder;
mod video;

pub use recorder::LabelRecorder;
pub use video::{VideoLabelError, VideoToLabel, label_video};

use crate::results::FrameResults;
use crate::stkit::pseudo::Observed;
use crate::stkit::{Record, Task};

/// What a frame's results say, for an observer; `None` without a view.
fn observed(results: &FrameResults) -> Option<Observed<'_>> {
    Some(Observed {
        time_s: results.time.seconds(),
        width: results.width,
        height: results.height,
        view: results.view.as_deref()?,
        tracks: &results.tracks,
        objects: &results.objects,
    })
}

/// Makes a record speak of its stream: its clip starts at this stream time, and its id is unique there.
fn place(record: &mut Record, name: &str, piece_start_s: f64, number: usize) {
    let task: Task = record.task;
    record.id = format!("{name}-{}-{number:06}", task.code());
    let start_s = piece_start_s + record.quality.provenance.start_s;
    record.quality.provenance.start_s = (start_s * 1e9).round() / 1e9;
}
