//! What stands still in a world: ground, buildings, trees, poles; and the light and the camera's way of taking pictures.

use nalgebra::{Point2, Point3, Vector3};

/// The pattern of a surface. Each is generated, tiles without a seam, and has a mean of one, so that it scales a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Texture {
    /// No pattern.
    Plain,
    /// Fine grain with stains and cracks: roads.
    Asphalt,
    /// Coarse clouds: concrete, plaster, earth.
    Concrete,
    /// Blades: grass, hedges, leaves.
    Grass,
    /// Slabs with joints; one tile is one slab pair.
    Paving,
    /// Boards along u.
    Wood,
    /// Rows of windows; one tile is one window with its wall.
    Facade,
    /// Spots of all colours: spectators, signs, shop windows.
    Crowd,
    /// Bricks.
    Brick,
}

/// How a surface looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Material {
    /// Pattern.
    pub texture: Texture,
    /// Linear reflectance (red, green, blue), 0 to 1.
    pub color: [f32; 3],
    /// Length of one tile of the pattern, metres.
    pub tile_m: f32,
    /// How much of the pattern shows, 0 (none) to 1.
    pub contrast: f32,
}

impl Material {
    /// A surface without a pattern.
    pub fn plain(color: [f32; 3]) -> Self {
        Self {
            texture: Texture::Plain,
            color,
            tile_m: 1.0,
            contrast: 0.0,
        }
    }
}

/// A painted part of the ground (z = 0): a lane, a marking, a pavement. Later patches cover earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundPatch {
    /// A convex polygon in the ground plane, metres; either sense.
    pub polygon: Vec<Point2<f64>>,
    /// Its surface.
    pub material: Material,
}

/// A solid that stands still.
#[derive(Clone, Debug, PartialEq)]
pub enum Prop {
    /// A box: building, wall, kerb, container, sign.
    Cuboid {
        /// Centre of its underside in the world, metres.
        base: Point3<f64>,
        /// Extent along its own x, y and z, metres.
        size: Vector3<f64>,
        /// Turn about the up axis, radians.
        yaw_rad: f64,
        /// The four sides.
        sides: Material,
        /// The top.
        top: Material,
    },
    /// An upright cylinder: pole, bollard, trunk.
    Cylinder {
        /// Centre of its underside in the world, metres.
        base: Point3<f64>,
        /// Radius, metres.
        radius_m: f64,
        /// Height, metres.
        height_m: f64,
        /// Its surface.
        material: Material,
    },
    /// An ellipsoid: crown of a tree, bush.
    Ellipsoid {
        /// Its centre in the world, metres.
        center: Point3<f64>,
        /// Half axes along x, y and z, metres.
        radii: Vector3<f64>,
        /// Its surface.
        material: Material,
    },
}

/// Sun and sky.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Light {
    /// Unit vector from the ground towards the sun; its z is positive.
    pub towards_sun: Vector3<f64>,
    /// Linear colour of the direct sunlight; zero when overcast.
    pub sun: [f32; 3],
    /// Linear colour of the sky's diffuse light.
    pub ambient: [f32; 3],
    /// Linear colour of the sky at the zenith.
    pub zenith: [f32; 3],
    /// Linear colour of the sky at the horizon, and of the haze.
    pub horizon: [f32; 3],
    /// How much cloud shows in the sky, 0 to 1.
    pub clouds: f32,
}

/// How the camera takes pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Imaging {
    /// Factor from linear radiance to the sensor's full scale.
    pub exposure: f32,
    /// Gains of red, green and blue (white balance).
    pub gains: [f32; 3],
    /// Standard deviation of the noise in mid grey, of full scale.
    pub noise: f32,
    /// Gamma of the picture (2.2 is usual).
    pub gamma: f32,
    /// Time the shutter is open, seconds; zero gives no motion blur.
    pub shutter_s: f32,
    /// Standard deviation of the lens's blur, pixels (0 to 1).
    pub blur_px: f32,
    /// Extinction of the haze, 1/m.
    pub haze_per_m: f32,
    /// Darkening of the picture's corners, 0 to 1.
    pub vignette: f32,
}

impl Default for Imaging {
    fn default() -> Self {
        Self {
            exposure: 1.0,
            gains: [1.0; 3],
            noise: 0.01,
            gamma: 2.2,
            shutter_s: 0.0,
            blur_px: 0.4,
            haze_per_m: 0.0,
            vignette: 0.0,
        }
    }
}

/// All that stands still in a world.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// The ground everywhere, under the patches.
    pub base: Material,
    /// Patches, in the order in which they are painted.
    pub patches: Vec<GroundPatch>,
    /// Solids.
    pub props: Vec<Prop>,
    /// Sun and sky.
    pub light: Light,
    /// The camera's way of taking pictures.
    pub imaging: Imaging,
    /// Seed of the textures.
    pub texture_seed: u64,
}
