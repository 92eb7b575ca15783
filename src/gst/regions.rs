//! Tracks as region-of-interest metadata, for elements and applications that know nothing of ours.
//!
//! Each track that is seen becomes one `GstVideoRegionOfInterestMeta` whose type is the class and whose id is the track's
//! (modulo 2³¹), with a structure `kinestream` of parameters: `id` (guint64), `class`, `confidence`, and once the motion
//! stage ran `speed-mps`, `x-m`, `y-m`, `z-m` (world) and `reliable`.

use ::gst_video::VideoRegionOfInterestMeta;

use crate::kinematics::ObjectState;
use crate::results::FrameResults;
use crate::tracking::{Track, TrackStatus};

/// Name of the structure of parameters.
pub const PARAMETERS: &str = "kinestream";

/// Puts the regions of all tracks that are seen on `buffer`, with their states where there are some; regions that an
/// earlier stage of ours put there give way.
pub fn attach(buffer: &mut ::gst::BufferRef, results: &FrameResults, width: u32, height: u32) {
    buffer.foreach_meta_mut(|mut meta| {
        let ours = meta
            .downcast_ref::<VideoRegionOfInterestMeta>()
            .is_some_and(|region| region.param(PARAMETERS).is_some());
        if ours {
            std::ops::ControlFlow::Continue(::gst::buffer::BufferMetaForeachAction::Remove)
        } else {
            std::ops::ControlFlow::Continue(::gst::buffer::BufferMetaForeachAction::Keep)
        }
    });
    let scale = (
        width as f32 / results.width.max(1) as f32,
        height as f32 / results.height.max(1) as f32,
    );
    for track in &results.tracks {
        if track.status == TrackStatus::Tracked {
            let state = results.objects.iter().find(|object| object.track_id == track.id);
            attach_one(buffer, track, state, scale, (width, height));
        }
    }
}

fn attach_one(
    buffer: &mut ::gst::BufferRef,
    track: &Track,
    state: Option<&ObjectState>,
    (sx, sy): (f32, f32),
    (width, height): (u32, u32),
) {
    let bbox = track.bbox.scaled(sx, sy).clipped(width as f32, height as f32);
    if !bbox.is_valid() {
        return;
    }
    let (x, y) = (bbox.x0.floor() as u32, bbox.y0.floor() as u32);
    let rect = (x, y, bbox.x1.ceil() as u32 - x, bbox.y1.ceil() as u32 - y);
    let mut region = VideoRegionOfInterestMeta::add(buffer, track.class.as_str(), rect);
    region.set_id((track.id % (1 << 31)) as i32);
    let mut parameters = ::gst::Structure::builder(PARAMETERS)
        .field("id", track.id)
        .field("class", track.class.as_str())
        .field("confidence", f64::from(track.confidence));
    if let Some(state) = state {
        let position = &state.live.position_in_world;
        parameters = parameters
            .field("speed-mps", state.live.velocity_in_world_mps.norm())
            .field("x-m", position.x)
            .field("y-m", position.y)
            .field("z-m", position.z)
            .field("reliable", state.reliability.is_reliable());
    }
    region.add_param(parameters.build());
}
