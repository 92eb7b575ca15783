//! What happens in one simulated world, as training needs it: small pictures, boxes and true ways on a grid of 0.5 s.

use nalgebra::{Point3, UnitQuaternion, Vector3};
use rand::Rng;
use rand_pcg::Pcg64;

use crate::datasets::{ObjectKind, ObjectSample, ObjectTrack};
use crate::detection::BoundingBox;
use crate::sim::render::Renderer;
use crate::sim::{Actor, ActorClass, Scene, World, WorldError, WorldSettings};
use crate::vlm::tiny::clip::{ClipCamera, VIEW_STEP_S, optical_yaw_rad};
use crate::vlm::tiny::views::{brightness, shrink};

/// Time between two points of the grid, seconds.
pub const STEP_S: f64 = 0.5;
/// Points of the grid.
pub const POINTS: usize = 41;
/// Worlds are drawn at this size, so that boxes are fine enough; the model sees smaller pictures.
const SIZE: (u32, u32) = (320, 192);
/// An object counts as visible with at least this share of it to be seen, and this height, picture heights.
const MIN_VISIBLE: f64 = 0.35;
const MIN_HEIGHT: f32 = 0.04;

/// A small picture, and the brightness a moment before.
#[derive(Clone, Debug)]
pub struct Picture {
    /// `VIEW_WIDTH · VIEW_HEIGHT · 3` bytes.
    pub rgb: Vec<u8>,
    /// `VIEW_WIDTH · VIEW_HEIGHT` bytes; `None` at a world's first moment.
    pub before: Option<Vec<u8>>,
}

/// One object over the grid.
#[derive(Clone, Debug)]
pub struct Track {
    /// Its way in the world: a sample at each point where it is in the world.
    pub way: ObjectTrack,
    /// What it is.
    pub class: ActorClass,
    /// Box as shares of the picture at each point; `None` where it is not visible.
    pub boxes: Vec<Option<BoundingBox>>,
    /// Distance from the camera at each point, metres; not finite where it is not in the world.
    pub range_m: Vec<f64>,
}

/// What happens in a world.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The scene.
    pub scene: Scene,
    /// The camera.
    pub camera: ClipCamera,
    /// Pictures at each point.
    pub pictures: Vec<Picture>,
    /// Heading of the optical axis at each point, radians counter-clockwise from x.
    pub camera_yaw_rad: Vec<f64>,
    /// Place of the camera at each point.
    pub camera_in_world: Vec<Point3<f64>>,
    /// All that moves or could.
    pub tracks: Vec<Track>,
}

impl Timeline {
    /// Lets a world of `scene` and `seed` run from a random moment of its first seconds.
    pub fn new(scene: Scene, seed: u64, fov_deg: Option<f64>, random: &mut Pcg64) -> Result<Self, WorldError> {
        let mut world = World::new(WorldSettings {
            width: SIZE.0,
            height: SIZE.1,
            horizontal_fov_deg: fov_deg,
            ..WorldSettings::new(scene, seed)
        })?;
        let start_s = random.random_range(0.2..10.0);
        Self::record(&mut world, start_s)
    }

    /// Lets `world` run from `start_s`.
    pub fn record(world: &mut World, start_s: f64) -> Result<Self, WorldError> {
        let mut renderer = Renderer::new(world);
        let mut timeline = Self {
            scene: world.settings.scene,
            camera: ClipCamera::of(&world.camera.intrinsics),
            pictures: Vec::with_capacity(POINTS),
            camera_yaw_rad: Vec::with_capacity(POINTS),
            camera_in_world: Vec::with_capacity(POINTS),
            tracks: Vec::new(),
        };
        for point in 0..POINTS {
            timeline.take(world, &mut renderer, point, start_s + point as f64 * STEP_S)?;
        }
        Ok(timeline)
    }

    fn take(
        &mut self,
        world: &mut World,
        renderer: &mut Renderer,
        point: usize,
        time_s: f64,
    ) -> Result<(), WorldError> {
        let (columns, rows) = (world.settings.width as usize, world.settings.height as usize);
        let before = match time_s > VIEW_STEP_S {
            true => {
                let snapshot = world.at(time_s - VIEW_STEP_S)?;
                shrink(&renderer.render(&snapshot).rgb, columns, rows).map(|rgb| brightness(&rgb))
            }
            false => None,
        };
        let snapshot = world.at(time_s)?;
        let rendered = renderer.render(&snapshot);
        self.pictures.push(Picture {
            rgb: shrink(&rendered.rgb, columns, rows).unwrap_or_default(),
            before,
        });
        let camera_in_world = Point3::from(snapshot.world_from_camera.translation.vector);
        self.camera_yaw_rad.push(optical_yaw_rad(&snapshot.world_from_camera));
        self.camera_in_world.push(camera_in_world);
        for actor in snapshot.actors.iter().filter(|actor| actor.class != ActorClass::Ball) {
            let id = u64::from(actor.id);
            let at = match self.tracks.iter().position(|track| track.way.id == id) {
                Some(at) => at,
                None => {
                    self.tracks.push(Track {
                        way: track_of(actor),
                        class: actor.class,
                        boxes: vec![None; POINTS],
                        range_m: vec![f64::NAN; POINTS],
                    });
                    self.tracks.len() - 1
                }
            };
            let Some(track) = self.tracks.get_mut(at) else { continue };
            let center_in_world = actor.center_in_world();
            track.way.samples.push(sample_of(actor, point as f64 * STEP_S));
            track.range_m[point] = (center_in_world - camera_in_world).norm();
            track.boxes[point] = rendered
                .sightings
                .iter()
                .find(|sighting| sighting.id == actor.id && sighting.visible_fraction() >= MIN_VISIBLE)
                .map(|sighting| {
                    let (width, height) = (columns as f32, rows as f32);
                    let bbox = &sighting.bbox;
                    BoundingBox::new(bbox.x0 / width, bbox.y0 / height, bbox.x1 / width, bbox.y1 / height)
                })
                .filter(|bbox| bbox.height() >= MIN_HEIGHT);
        }
        Ok(())
    }
}

/// An actor's track, still without samples.
pub fn track_of(actor: &Actor) -> ObjectTrack {
    ObjectTrack {
        id: u64::from(actor.id),
        name: actor.id.to_string(),
        class: actor.class.label(),
        kind: match actor.class {
            ActorClass::Person => ObjectKind::Pedestrian,
            _ => ObjectKind::Vehicle,
        },
        samples: Vec::new(),
    }
}

/// Where an actor is, as a data set would tell it.
pub fn sample_of(actor: &Actor, time_s: f64) -> ObjectSample {
    ObjectSample {
        time_s,
        center_in_world: actor.center_in_world(),
        world_from_object: UnitQuaternion::from_axis_angle(&Vector3::z_axis(), actor.yaw_rad),
        size_m: Some(Vector3::new(
            actor.size.length_m,
            actor.size.width_m,
            actor.size.height_m,
        )),
        seen: true,
        labelled_box: None,
    }
}
