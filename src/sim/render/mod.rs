//! From a snapshot to a picture, metric depth and instance masks: a z-buffer of our own.
//!
//! A general renderer would go through a GPU or shade far more than is needed; this one draws flat-shaded faces with
//! generated textures, and gives the truth of every pixel as a by-product. Surfaces are found first and shaded once a
//! pixel; what stands still before a camera that stands still is kept from one picture to the next.

mod bodies;
mod develop;
mod lens;
mod mesh;
mod raster;
mod shade;
mod surface;
#[cfg(test)]
mod tests;
mod texture;

use std::collections::BTreeMap;
use std::ops::Range;

use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, Vector3};

use self::develop::{Developer, Streak, TILE};
use self::lens::Lens;
use self::mesh::Mesh;
use self::raster::Raster;
use self::shade::{Planes, SUN_HIDDEN, Shader, UNDER_BODY};
use self::surface::{CameraLight, Layout, Surface};
use self::texture::Patterns;
use super::actor::Actor;
use super::environment::Environment;
use super::world::{Snapshot, World};
use crate::camera::Intrinsics;
use crate::detection::BoundingBox;

/// Shadows of bodies farther than this are not drawn, metres.
const SHADOW_REACH_M: f32 = 90.0;
/// An actor's movement is the mean over about so many pixels.
const MEAN_OF: f32 = 256.0;
/// The sky, in the plane of surfaces; the ground follows it.
const SKY: u32 = 0;
const GROUND: u32 = 1;

/// What an actor looks like in one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighting {
    /// The actor's id.
    pub id: u16,
    /// The box round the actor's whole silhouette as far as it lies inside the picture, hidden parts included; pixels.
    pub bbox: BoundingBox,
    /// Pixels of the picture that show the actor.
    pub visible_px: u32,
    /// Pixels that would show it if nothing stood in front of it.
    pub silhouette_px: u32,
    /// Whether its silhouette touches the picture's edge.
    pub truncated: bool,
}

impl Sighting {
    /// The share of the silhouette inside the picture that nothing hides, 0 to 1.
    pub fn visible_fraction(&self) -> f64 {
        if self.silhouette_px == 0 {
            0.0
        } else {
            f64::from(self.visible_px) / f64::from(self.silhouette_px)
        }
    }
}

/// A picture and its truth. All planes have `width · height` pixels, row by row.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// Packed 8-bit red, green, blue.
    pub rgb: Vec<u8>,
    /// Depth along the optical axis, metres; infinite in the sky.
    pub depth_m: Vec<f32>,
    /// The id of the actor each pixel shows; 0 for what stands still.
    pub instance: Vec<u16>,
    /// The actors with at least one pixel of silhouette inside the picture, by ascending id.
    pub sightings: Vec<Sighting>,
}

/// Which surface each pixel shows, and how far it is.
#[derive(Clone, Debug, Default)]
struct Buffers {
    inverse_depth: Vec<f32>,
    surface: Vec<u32>,
    shadow: Vec<u8>,
}

/// What stands still, found and shaded, as seen from one pose.
struct StaticLayer {
    buffers: Buffers,
    planes: Planes,
}

/// What the surfaces were last found for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    /// One picture: nothing of it is kept.
    Once(Isometry3<f64>),
    /// A camera that stands still: the layer holds for it.
    Kept(Isometry3<f64>),
}

/// A mesh of a rigid actor, and the brake lights it was made with.
struct KeptMesh {
    braking: bool,
    seen: u64,
    mesh: Mesh,
}

/// Draws one world. Its buffers are reused: a picture allocates nothing once the first is drawn.
pub struct Renderer {
    environment: Environment,
    lens: Lens,
    patterns: Patterns,
    developer: Developer,
    raster: Raster,
    props: Vec<(Vector3<f64>, Mesh)>,
    bodies: BTreeMap<u16, KeptMesh>,
    articulated: Mesh,
    /// Surfaces: the sky's place, the ground, its patches, props, actors.
    surfaces: Vec<Surface>,
    /// How many of the surfaces stand still, and how many of these are ground.
    static_surfaces: usize,
    ground_surfaces: u32,
    /// Index of the sighting that each surface of an actor belongs to.
    owners: Vec<u32>,
    layer: Option<StaticLayer>,
    seen: Option<Seen>,
    buffers: Buffers,
    planes: Planes,
    stamps: Vec<u32>,
    stamp: u32,
    camera_vertices: Vec<Vector3<f32>>,
    ground_polygon: Vec<Vector3<f32>>,
    frame: u64,
    rendered: Rendered,
}

impl Renderer {
    /// A renderer for a world's pictures.
    pub fn new(world: &World) -> Self {
        Self::with_parts(world.environment.clone(), &world.camera.intrinsics)
    }

    /// A renderer for an environment and a camera of one's own.
    pub fn with_parts(environment: Environment, intrinsics: &Intrinsics) -> Self {
        let lens = Lens::new(intrinsics);
        let pixels = lens.width * lens.height;
        let buffers = Buffers {
            inverse_depth: vec![0.0; pixels],
            surface: vec![SKY; pixels],
            shadow: vec![0; pixels],
        };
        let props = environment.props.iter();
        Self {
            patterns: Patterns::new(environment.texture_seed),
            developer: Developer::new(&environment.imaging, environment.texture_seed, lens.width),
            raster: Raster::default(),
            props: props.map(|prop| (mesh::origin_of(prop), mesh::of_prop(prop))).collect(),
            bodies: BTreeMap::new(),
            articulated: Mesh::default(),
            surfaces: Vec::new(),
            static_surfaces: 0,
            ground_surfaces: 0,
            owners: Vec::new(),
            layer: None,
            seen: None,
            buffers,
            planes: std::array::from_fn(|_| vec![0.0; pixels]),
            stamps: vec![0; pixels],
            stamp: 0,
            camera_vertices: Vec::new(),
            ground_polygon: Vec::new(),
            frame: 0,
            rendered: Rendered {
                width: lens.width as u32,
                height: lens.height as u32,
                rgb: vec![0; 3 * pixels],
                depth_m: vec![0.0; pixels],
                instance: vec![0; pixels],
                sightings: Vec::new(),
            },
            environment,
            lens,
        }
    }

    /// The picture at a snapshot.
    pub fn render(&mut self, snapshot: &Snapshot) -> &Rendered {
        self.frame += 1;
        let view = View::new(snapshot, &self.environment, &self.lens);
        let pose = snapshot.world_from_camera;
        let is_kept = match self.seen {
            Some(Seen::Kept(kept)) if kept == pose => true,
            // It stands still: worth keeping.
            Some(Seen::Once(before)) if before == pose => {
                self.keep_static(&view);
                true
            }
            _ => false,
        };
        self.seen = Some(if is_kept { Seen::Kept(pose) } else { Seen::Once(pose) });
        if is_kept {
            self.recall_static();
        } else {
            self.draw_static(&view);
        }
        self.draw_actors(&view, snapshot);
        self.shade(&view, is_kept);
        self.write_truth();
        self.develop(&view, snapshot);
        &self.rendered
    }

    /// Finds and shades what stands still, and keeps it.
    fn keep_static(&mut self, view: &View) {
        self.draw_static(view);
        self.static_surfaces = self.surfaces.len();
        self.shade(view, false);
        let layer = self.layer.get_or_insert_with(|| StaticLayer {
            buffers: self.buffers.clone(),
            planes: self.planes.clone(),
        });
        layer.buffers.clone_from(&self.buffers);
        for (kept, plane) in layer.planes.iter_mut().zip(&self.planes) {
            kept.copy_from_slice(plane);
        }
    }

    /// Begins from what was kept.
    fn recall_static(&mut self) {
        self.surfaces.truncate(self.static_surfaces);
        let Some(layer) = &self.layer else { return };
        self.buffers.inverse_depth.copy_from_slice(&layer.buffers.inverse_depth);
        self.buffers.surface.copy_from_slice(&layer.buffers.surface);
        self.buffers.shadow.copy_from_slice(&layer.buffers.shadow);
        for (plane, kept) in self.planes.iter_mut().zip(&layer.planes) {
            plane.copy_from_slice(kept);
        }
    }

    /// Finds what stands still.
    fn draw_static(&mut self, view: &View) {
        self.surfaces.clear();
        let buffers = &mut self.buffers;
        buffers.shadow.fill(0);
        // The sky's surface is never shaded as one; it keeps the indices aligned.
        let ground = view.ground_surface(&self.environment.base);
        self.surfaces.extend([ground, ground]);
        let [a, b, c] = ground.plane;
        for (((inverse_depth, surface), x), y) in buffers
            .inverse_depth
            .iter_mut()
            .zip(&mut buffers.surface)
            .zip(&self.lens.ray_x)
            .zip(&self.lens.ray_y)
        {
            let inverse = a * x + b * y + c;
            *inverse_depth = inverse.max(0.0);
            *surface = if inverse > 0.0 { GROUND } else { SKY };
        }
        for patch in &self.environment.patches {
            let index = self.surfaces.len() as u32;
            self.surfaces.push(view.ground_surface(&patch.material));
            let corners = patch.polygon.iter().map(|at| view.point(&Point3::new(at.x, at.y, 0.0)));
            self.raster.fill(&self.lens, corners, |row, columns| {
                let run = row * self.lens.width + columns.start..row * self.lens.width + columns.end;
                for surface in &mut buffers.surface[run] {
                    // The horizon row may be covered by half.
                    if *surface != SKY {
                        *surface = index;
                    }
                }
            });
        }
        self.ground_surfaces = self.surfaces.len() as u32;
        for (origin, mesh) in &self.props {
            let translation = view.point(&Point3::from(*origin));
            if !self.lens.sees(&translation, mesh.radius_m) {
                continue;
            }
            view.place(
                mesh,
                &view.camera_from_world.cast(),
                &translation,
                &mut self.camera_vertices,
            );
            draw_faces(
                mesh,
                &self.camera_vertices,
                view,
                &self.lens,
                &mut self.raster,
                &mut self.surfaces,
                buffers,
                |_| {},
            );
        }
        if view.sun_shines {
            for (origin, mesh) in &self.props {
                let translation = view.point(&Point3::from(*origin));
                if translation.norm() > SHADOW_REACH_M + mesh.radius_m {
                    continue;
                }
                view.place(
                    mesh,
                    &view.camera_from_world.cast(),
                    &translation,
                    &mut self.camera_vertices,
                );
                draw_shadow(
                    mesh,
                    &self.camera_vertices,
                    view,
                    &self.lens,
                    &mut self.raster,
                    buffers,
                    self.ground_surfaces,
                    &mut self.ground_polygon,
                );
            }
        }
        self.static_surfaces = self.surfaces.len();
    }

    /// Finds the surfaces and shadows of the actors over what stands still.
    fn draw_actors(&mut self, view: &View, snapshot: &Snapshot) {
        self.owners.clear();
        self.rendered.sightings.clear();
        let width = self.lens.width;
        for actor in &snapshot.actors {
            let translation = view.point(&actor.base_in_world);
            let distance_m = translation.norm();
            let (length, height) = (actor.size.length_m as f32, actor.size.height_m as f32);
            if distance_m > SHADOW_REACH_M && !self.lens.sees(&translation, length + height) {
                continue;
            }
            let mesh = mesh_of(actor, self.frame, &mut self.bodies, &mut self.articulated);
            let turn = Rotation3::from_axis_angle(&Vector3::z_axis(), actor.yaw_rad);
            let camera_from_body: Matrix3<f32> = (view.camera_from_world * turn.matrix()).cast();
            view.place(mesh, &camera_from_body, &translation, &mut self.camera_vertices);
            if self.lens.sees(&translation, mesh.radius_m) {
                self.stamp = self.stamp.checked_add(1).unwrap_or_else(|| {
                    self.stamps.fill(0);
                    1
                });
                let (stamp, stamps) = (self.stamp, &mut self.stamps);
                let mut silhouette_px = 0;
                let (mut x0, mut y0, mut x1, mut y1) = (usize::MAX, usize::MAX, 0, 0);
                draw_faces(
                    mesh,
                    &self.camera_vertices,
                    view,
                    &self.lens,
                    &mut self.raster,
                    &mut self.surfaces,
                    &mut self.buffers,
                    |run| {
                        let (row, start, end) = (run.start / width, run.start % width, run.end - run.start);
                        (x0, x1) = (x0.min(start), x1.max(start + end));
                        (y0, y1) = (y0.min(row), y1.max(row + 1));
                        for pixel in &mut stamps[run] {
                            silhouette_px += u32::from(*pixel != stamp);
                            *pixel = stamp;
                        }
                    },
                );
                let owner = self.rendered.sightings.len() as u32;
                if silhouette_px > 0 {
                    self.rendered.sightings.push(Sighting {
                        id: actor.id,
                        bbox: BoundingBox::new(x0 as f32, y0 as f32, x1 as f32, y1 as f32),
                        visible_px: 0,
                        silhouette_px,
                        truncated: x0 == 0 || y0 == 0 || x1 == width || y1 == self.lens.height,
                    });
                }
                self.owners.resize(self.surfaces.len() - self.static_surfaces, owner);
            }
            if distance_m < SHADOW_REACH_M && actor.base_in_world.z < 3.0 {
                if view.sun_shines {
                    draw_shadow(
                        mesh,
                        &self.camera_vertices,
                        view,
                        &self.lens,
                        &mut self.raster,
                        &mut self.buffers,
                        self.ground_surfaces,
                        &mut self.ground_polygon,
                    );
                }
                self.draw_contact(view, actor);
            }
        }
        let frame = self.frame;
        self.bodies.retain(|_, kept| kept.seen + 300 > frame);
    }

    /// Darkens the ground under an actor.
    fn draw_contact(&mut self, view: &View, actor: &Actor) {
        let grow = Vector3::new(1.02, 1.02, 0.0);
        let corners = actor.corners_in_world();
        let base = Vector3::new(actor.base_in_world.x, actor.base_in_world.y, 0.0);
        let footprint = [0, 1, 3, 2].map(|corner| {
            let off = corners[corner].coords - base;
            view.point(&Point3::from(base + off.component_mul(&grow)))
        });
        let (width, ground) = (self.lens.width, self.ground_surfaces);
        let Buffers { surface, shadow, .. } = &mut self.buffers;
        self.raster.fill(&self.lens, footprint, |row, columns| {
            for pixel in row * width + columns.start..row * width + columns.end {
                if (GROUND..ground).contains(&surface[pixel]) {
                    shadow[pixel] |= UNDER_BODY;
                }
            }
        });
    }

    /// Shades every pixel, or (`only_actors`) what the actors cover and darken: all else was recalled.
    fn shade(&mut self, view: &View, only_actors: bool) {
        let shader = Shader {
            lens: &self.lens,
            environment: &self.environment,
            patterns: &self.patterns,
            world_from_camera: view.camera_from_world.transpose().cast(),
        };
        let buffers = &self.buffers;
        let shade = |surface, pixels| {
            let seen = (surface != SKY).then(|| &self.surfaces[surface as usize]);
            shader.run(seen, pixels, &buffers.shadow, &buffers.inverse_depth, &mut self.planes);
        };
        let first_actor = self.static_surfaces as u32;
        match self.layer.as_ref().filter(|_| only_actors) {
            Some(layer) => {
                let kept = &layer.buffers.shadow;
                let changed = |pixel: usize, surface| surface >= first_actor || buffers.shadow[pixel] != kept[pixel];
                for_runs(self.lens.width, &buffers.surface, changed, shade);
            }
            None => for_runs(self.lens.width, &buffers.surface, |_, _| true, shade),
        }
    }

    fn write_truth(&mut self) {
        let Rendered {
            depth_m,
            instance,
            sightings,
            ..
        } = &mut self.rendered;
        for (depth, inverse) in depth_m.iter_mut().zip(&self.buffers.inverse_depth) {
            *depth = 1.0 / inverse;
        }
        let first_actor = self.static_surfaces;
        for (id, surface) in instance.iter_mut().zip(&self.buffers.surface) {
            let surface = *surface as usize;
            *id = if surface < first_actor {
                0
            } else {
                let sighting = &mut sightings[self.owners[surface - first_actor] as usize];
                sighting.visible_px += 1;
                sighting.id
            };
        }
    }

    fn develop(&mut self, view: &View, snapshot: &Snapshot) {
        let shutter_s = self.environment.imaging.shutter_s;
        if shutter_s > 0.0 {
            let motion = self.camera_motion(view, shutter_s);
            let instance = &self.rendered.instance;
            self.developer
                .blur_static(&self.lens, &motion, instance, &mut self.planes);
            for sighting in &self.rendered.sightings {
                let Some(actor) = snapshot.actors.iter().find(|actor| actor.id == sighting.id) else {
                    continue;
                };
                let velocity = (view.camera_from_world * actor.velocity_in_world_mps).cast::<f32>();
                let flow = self.mean_flow(view, sighting, &velocity);
                let bounds = [
                    sighting.bbox.x0 as usize,
                    sighting.bbox.y0 as usize,
                    sighting.bbox.x1 as usize,
                    sighting.bbox.y1 as usize,
                ];
                let streak = Streak {
                    id: sighting.id,
                    bounds,
                    motion_px: flow.map(|px_per_s| px_per_s * shutter_s),
                };
                self.developer
                    .blur_actor(&self.lens, &streak, instance, &mut self.planes);
            }
        }
        // Noise differs from picture to picture and is the same for the same picture.
        let frame = snapshot.time_s.to_bits() ^ self.environment.texture_seed.rotate_left(17);
        self.developer
            .develop(&self.lens, &mut self.planes, frame, &mut self.rendered.rgb);
    }

    /// How the image of an actor moves, pixels a second: the mean over what is seen of it. Its middle may lie beside the
    /// camera or behind it.
    fn mean_flow(&self, view: &View, sighting: &Sighting, velocity: &Vector3<f32>) -> [f32; 2] {
        let (x0, y0) = (sighting.bbox.x0 as usize, sighting.bbox.y0 as usize);
        let (x1, y1) = (sighting.bbox.x1 as usize, sighting.bbox.y1 as usize);
        let step = (((x1 - x0) * (y1 - y0)) as f32 / MEAN_OF).sqrt().max(1.0) as usize;
        let (mut sum, mut count) = ([0.0; 2], 0.0f32);
        for y in (y0 + step / 2..y1).step_by(step) {
            for x in (x0 + step / 2..x1).step_by(step) {
                let pixel = y * self.lens.width + x;
                if self.rendered.instance[pixel] != sighting.id {
                    continue;
                }
                let depth = self.rendered.depth_m[pixel];
                let point = Vector3::new(self.lens.ray_x[pixel], self.lens.ray_y[pixel], 1.0) * depth;
                let flow = view.flow(&point, velocity, &self.lens);
                sum = [sum[0] + flow[0], sum[1] + flow[1]];
                count += 1.0;
            }
        }
        sum.map(|sum| sum / count.max(1.0))
    }

    /// How the image of what stands still moves while the shutter is open: one vector a tile.
    fn camera_motion(&self, view: &View, shutter_s: f32) -> Vec<[f32; 2]> {
        let (width, height) = (self.lens.width, self.lens.height);
        let (across, down) = (width.div_ceil(TILE), height.div_ceil(TILE));
        let mut motion = Vec::with_capacity(across * down);
        for tile in 0..across * down {
            let x = (tile % across * TILE + TILE / 2).min(width - 1);
            let y = (tile / across * TILE + TILE / 2).min(height - 1);
            let pixel = y * width + x;
            let depth = 1.0 / self.buffers.inverse_depth[pixel].max(1e-4);
            let point = Vector3::new(self.lens.ray_x[pixel], self.lens.ray_y[pixel], 1.0) * depth;
            let flow = view.flow(&point, &Vector3::zeros(), &self.lens);
            motion.push(flow.map(|px_per_s| px_per_s * shutter_s));
        }
        motion
    }
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (width, height) = (self.lens.width, self.lens.height);
        f.debug_struct("Renderer")
            .field("width", &width)
            .field("height", &height)
            .finish_non_exhaustive()
    }
}

/// The camera at one snapshot.
struct View {
    camera_from_world: Matrix3<f64>,
    camera_in_world: Vector3<f64>,
    /// In the camera frame.
    velocity: Vector3<f32>,
    angular_velocity: Vector3<f32>,
    light: CameraLight,
    sun_shines: bool,
}

impl View {
    fn new(snapshot: &Snapshot, environment: &Environment, lens: &Lens) -> Self {
        let pose = &snapshot.world_from_camera;
        let camera_from_world = pose.rotation.to_rotation_matrix().into_inner().transpose();
        let light = &environment.light;
        Self {
            camera_from_world,
            camera_in_world: pose.translation.vector,
            velocity: (camera_from_world * snapshot.camera_velocity_mps).cast(),
            angular_velocity: (camera_from_world * snapshot.camera_angular_velocity_radps).cast(),
            light: CameraLight::new(light, &camera_from_world, 0.5 * (lens.fx + lens.fy)),
            sun_shines: light.sun.iter().any(|channel| *channel > 0.0) && light.towards_sun.z > 0.05,
        }
    }

    /// A point of the world in the camera frame.
    fn point(&self, in_world: &Point3<f64>) -> Vector3<f32> {
        (self.camera_from_world * (in_world.coords - self.camera_in_world)).cast()
    }

    /// Puts a mesh's vertices into the camera frame.
    fn place(&self, mesh: &Mesh, turn: &Matrix3<f32>, origin: &Vector3<f32>, out: &mut Vec<Vector3<f32>>) {
        out.clear();
        out.extend(mesh.vertices.iter().map(|vertex| turn * vertex + origin));
    }

    /// The ground's plane with a material; the pattern lies along the world's axes.
    fn ground_surface(&self, material: &crate::sim::environment::Material) -> Surface {
        let below = self.point(&Point3::new(self.camera_in_world.x, self.camera_in_world.y, 0.0));
        let axis = |axis: Vector3<f64>| (self.camera_from_world * axis).cast::<f32>();
        let tile = f64::from(material.tile_m.max(1e-3));
        let start = |at: f64| (at / tile).rem_euclid(1.0) as f32;
        let layout = Layout {
            along: axis(Vector3::x()),
            across: axis(Vector3::y()),
            origin: below,
            start: [start(self.camera_in_world.x), start(self.camera_in_world.y)],
        };
        Surface::new(&self.light.up, &below, material, 0.0, &layout, &self.light)
    }

    /// How the image of a point moves, pixels a second, when the point moves with a velocity (camera axes, relative to the
    /// world). Distortion is left out.
    fn flow(&self, point: &Vector3<f32>, velocity: &Vector3<f32>, lens: &Lens) -> [f32; 2] {
        let relative = velocity - self.velocity - self.angular_velocity.cross(point);
        let z = point.z.max(0.3);
        [
            lens.fx * (relative.x - point.x / z * relative.z) / z,
            lens.fy * (relative.y - point.y / z * relative.z) / z,
        ]
    }
}

/// The mesh of an actor: kept for rigid ones, built anew for those whose limbs move.
fn mesh_of<'a>(
    actor: &Actor,
    frame: u64,
    kept: &'a mut BTreeMap<u16, KeptMesh>,
    articulated: &'a mut Mesh,
) -> &'a Mesh {
    if !bodies::is_rigid(actor.class) {
        bodies::build(actor, articulated);
        return articulated;
    }
    let braking = actor.articulation.braking;
    let mut is_new = false;
    let body = kept.entry(actor.id).or_insert_with(|| {
        is_new = true;
        KeptMesh {
            braking,
            seen: frame,
            mesh: Mesh::default(),
        }
    });
    if is_new || body.braking != braking {
        bodies::build(actor, &mut body.mesh);
        body.braking = braking;
    }
    body.seen = frame;
    &body.mesh
}

/// Draws the faces that look at the camera; `covered` hears of every run of pixels of the silhouette.
#[allow(clippy::too_many_arguments)]
fn draw_faces(
    mesh: &Mesh,
    vertices: &[Vector3<f32>],
    view: &View,
    lens: &Lens,
    raster: &mut Raster,
    surfaces: &mut Vec<Surface>,
    buffers: &mut Buffers,
    mut covered: impl FnMut(Range<usize>),
) {
    let Buffers {
        inverse_depth, surface, ..
    } = buffers;
    for face in &mesh.faces {
        let corners = &vertices[face.start..face.end];
        let along = corners[1] - corners[0];
        let normal = along.cross(&(corners[2] - corners[1]));
        let area = normal.norm();
        if area <= 1e-9 || normal.dot(&corners[0]) >= 0.0 {
            continue;
        }
        let normal = normal / area;
        let along = along.normalize();
        let layout = Layout {
            across: normal.cross(&along),
            along,
            origin: corners[0],
            start: [0.0; 2],
        };
        let index = surfaces.len() as u32;
        let seen = Surface::new(&normal, &corners[0], &face.material, face.glow, &layout, &view.light);
        surfaces.push(seen);
        let [a, b, c] = seen.plane;
        raster.fill(lens, corners.iter().copied(), |row, columns| {
            let run = row * lens.width + columns.start..row * lens.width + columns.end;
            covered(run.clone());
            let rays = lens.ray_x[run.clone()].iter().zip(&lens.ray_y[run.clone()]);
            let pixels = inverse_depth[run.clone()].iter_mut().zip(&mut surface[run]);
            for ((x, y), (nearest, shown)) in rays.zip(pixels) {
                let inverse = a * x + b * y + c;
                let nearer = inverse > *nearest;
                *nearest = if nearer { inverse } else { *nearest };
                *shown = if nearer { index } else { *shown };
            }
        });
    }
}

/// Marks the ground that a body keeps the sun from.
#[allow(clippy::too_many_arguments)]
fn draw_shadow(
    mesh: &Mesh,
    vertices: &[Vector3<f32>],
    view: &View,
    lens: &Lens,
    raster: &mut Raster,
    buffers: &mut Buffers,
    ground_surfaces: u32,
    polygon: &mut Vec<Vector3<f32>>,
) {
    let CameraLight { up, towards_sun, .. } = view.light;
    let camera_height = view.camera_in_world.z as f32;
    // Metres along the sunbeam for one metre of height.
    let per_height = 1.0 / up.dot(&towards_sun).max(0.05);
    let Buffers { surface, shadow, .. } = buffers;
    for face in &mesh.faces {
        let corners = &vertices[face.start..face.end];
        let normal = (corners[1] - corners[0]).cross(&(corners[2] - corners[1]));
        // One side of a closed body casts all of its shadow.
        if normal.dot(&towards_sun) <= 0.0 {
            continue;
        }
        polygon.clear();
        polygon.extend(corners.iter().map(|corner| {
            let height = (up.dot(corner) + camera_height).max(0.0);
            corner - towards_sun * (height * per_height)
        }));
        raster.fill(lens, polygon.iter().copied(), |row, columns| {
            let run = row * lens.width + columns.start..row * lens.width + columns.end;
            for (shadow, surface) in shadow[run.clone()].iter_mut().zip(&surface[run]) {
                let on_ground = *surface >= GROUND && *surface < ground_surfaces;
                *shadow |= if on_ground { SUN_HIDDEN } else { 0 };
            }
        });
    }
}

/// Calls `run` for every longest run of pixels of a row that `wanted` accepts and that show one surface.
fn for_runs(
    width: usize,
    surfaces: &[u32],
    wanted: impl Fn(usize, u32) -> bool,
    mut run: impl FnMut(u32, Range<usize>),
) {
    for (row, surfaces) in surfaces.chunks_exact(width).enumerate() {
        let offset = row * width;
        let mut column = 0;
        while column < width {
            let surface = surfaces[column];
            if !wanted(offset + column, surface) {
                column += 1;
                continue;
            }
            let start = column;
            while column < width && surfaces[column] == surface && wanted(offset + column, surface) {
                column += 1;
            }
            run(surface, offset + start..offset + column);
        }
    }
}
