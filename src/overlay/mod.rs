//! Draws results into pictures: boxes, identities, speeds, clock faces, trails on the ground, a bird's-eye inset and the
//! newest answers, straight into the planes that a decoder left.
//!
//! ```
//! use kinestream::frame::{FrameTime, PixelFormat};
//! use kinestream::overlay::{Overlay, PictureMut, Show};
//! use kinestream::results::FrameResults;
//!
//! let mut pixels = vec![0u8; 640 * 360 * 3];
//! let mut picture = PictureMut::packed(PixelFormat::Rgb, 640, 360, &mut pixels)?;
//! let results = FrameResults::new(FrameTime::default(), 640, 360);
//! Overlay::new(Show::ALL).draw(&mut picture, &results);
//! # Ok::<(), kinestream::frame::PictureError>(())
//! ```

mod birdseye;
mod canvas;
mod caption;
mod objects;
mod plan;
mod shapes;
mod snapshot;
mod text;
mod trails;

use crate::detection::ClassLabel;
use crate::kinematics::{KinematicState, ObjectState};
use crate::results::FrameResults;

pub use canvas::{PictureMut, PlaneMut};
pub use plan::{PathFamily, draw_plan};
pub use snapshot::{SnapshotError, SnapshotOptions, snapshot_jpeg};

use canvas::Ink;
use text::Font;

/// Standard deviations on either side of a Gaussian's mean that hold 95 % of it: what "±" means in labels.
const SIGMAS_OF_95_PERCENT: f64 = 1.96;

/// Above this probability of standing still an object is said to stand.
const STANDS_ABOVE: f64 = 0.5;

/// What an overlay shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Show {
    /// A box around each object: dashed where its metric state is not reliable, grey and dashed while it is lost.
    pub boxes: bool,
    /// Class and identity.
    pub labels: bool,
    /// Speed in km/h with its 95 % interval and distance in metres; with `labels`.
    pub speeds: bool,
    /// A clock face with the hour of movement (12 is the way the object first moved).
    pub clocks: bool,
    /// The scene from above, camera at the bottom, ahead is up.
    pub birdseye: bool,
    /// The newest answers.
    pub answers: bool,
    /// The way each object took over the ground in the last seconds.
    pub trails: bool,
}

impl Show {
    /// Everything.
    pub const ALL: Self = Self {
        boxes: true,
        labels: true,
        speeds: true,
        clocks: true,
        birdseye: true,
        answers: true,
        trails: true,
    };

    /// Nothing.
    pub const NONE: Self = Self {
        boxes: false,
        labels: false,
        speeds: false,
        clocks: false,
        birdseye: false,
        answers: false,
        trails: false,
    };
}

impl Default for Show {
    fn default() -> Self {
        Self::ALL
    }
}

/// Draws one stream's results. Keeps what must outlive a frame: answers stay up for some seconds, and the bird's-eye
/// range does not jump.
#[derive(Debug, Default)]
pub struct Overlay {
    show: Show,
    caption: caption::Caption,
    birdseye: birdseye::Range,
}

impl Overlay {
    /// Shows what `show` says.
    pub fn new(show: Show) -> Self {
        Self {
            show,
            ..Self::default()
        }
    }

    /// Changes what is shown, from the next frame on.
    pub fn set_show(&mut self, show: Show) {
        self.show = show;
    }

    /// Forgets answers and range, as after a seek.
    pub fn reset(&mut self) {
        *self = Self::new(self.show);
    }

    /// Draws the results of one frame into its picture, whose size may differ from the size the results refer to.
    pub fn draw(&mut self, picture: &mut PictureMut, results: &FrameResults) {
        let now_s = results.time.seconds();
        self.caption.take(&results.answers, now_s);
        if results.width == 0 || results.height == 0 {
            return;
        }
        let look = Look::new(picture, results);
        if self.show.trails
            && let Some(view) = &results.view
        {
            trails::draw(picture, &look, results, view);
        }
        objects::draw(picture, &look, results, &self.show);
        if self.show.birdseye
            && let Some(view) = &results.view
        {
            self.birdseye.draw(picture, &look, results, view, self.show.trails);
        }
        if self.show.answers {
            self.caption.draw(picture, &look, now_s);
        }
    }
}

/// Sizes and inks that all parts share, for one picture.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// From pixels of the results to pixels of the picture.
    scale: (f32, f32),
    /// Thickness of a line in pixels; at least 2, so that subsampled chroma gets its colour.
    line: f32,
    font: Font,
    small_font: Font,
    white: Ink,
    grey: Ink,
    black: Ink,
}

impl Look {
    fn new(picture: &PictureMut, results: &FrameResults) -> Self {
        let height = picture.height();
        Self {
            scale: (
                picture.width() as f32 / results.width as f32,
                height as f32 / results.height as f32,
            ),
            line: (height as f32 / 400.0).round().max(2.0),
            font: Font::for_height(height),
            small_font: Font::for_height(height * 2 / 3),
            white: picture.ink([255, 255, 255]),
            grey: picture.ink([176, 180, 184]),
            black: picture.ink([14, 17, 22]),
        }
    }

    fn margin(&self) -> i32 {
        (self.line * 2.0) as i32 + 2
    }
}

/// The colour that stays with an identity: hues a golden section apart, so that neighbouring ids differ.
fn color_of(track_id: u64) -> [u8; 3] {
    let hue = (track_id % 4096) as f32 * 0.618_034 + 0.08;
    let channel = |offset: f32| {
        let position = ((hue + offset).fract() * 6.0 - 3.0).abs() - 1.0;
        let saturated = position.clamp(0.0, 1.0);
        ((0.26 + 0.74 * saturated) * 255.0) as u8
    };
    [channel(0.0), channel(2.0 / 3.0), channel(1.0 / 3.0)]
}

/// The state to show: the settled one where there is one, else the live one.
fn shown_state(object: &ObjectState) -> &KinematicState {
    object.settled.as_ref().unwrap_or(&object.live)
}

/// Speed over the ground and half of its 95 % interval, metres per second; `None` if the state is not finite.
fn ground_speed_mps(state: &KinematicState) -> Option<(f64, f64)> {
    let velocity = state.velocity_in_world_mps.xy();
    let speed = velocity.norm();
    let covariance = state.covariance.fixed_view::<2, 2>(3, 3).into_owned();
    // Along the movement; for a standing object the direction is noise and the mean of both axes serves.
    let variance = if speed > 1e-6 {
        let along = velocity / speed;
        (along.transpose() * covariance * along).x
    } else {
        covariance.trace() / 2.0
    };
    // Rounding may leave a zero variance just below zero; NaN stays NaN.
    let half = SIGMAS_OF_95_PERCENT * if variance < 0.0 { 0.0 } else { variance.sqrt() };
    (speed.is_finite() && half.is_finite()).then_some((speed, half))
}

/// Whether the object stands still, as far as the state tells.
fn stands(state: &KinematicState) -> bool {
    state.standstill_probability > STANDS_ABOVE
}

/// E.g. `car 12`.
fn name_of(class: ClassLabel, track_id: u64) -> String {
    format!("{class} {track_id}")
}

#[cfg(test)]
mod tests;
