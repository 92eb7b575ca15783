//! A court or pitch: two teams, a ball; the camera stands (even seeds) or pans after the play (odd seeds).

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use nalgebra::{Isometry2, Isometry3, Translation3, UnitQuaternion, Vector2, Vector3};

use super::Parts;
use super::draw::Draw;
use super::stage::{Footprint, Spot, Stage, along, frame_at, left_of, place};
use super::traffic::Ids;
use super::walkers::Walker;
use super::{bodies, looks, optics};
use crate::camera::Mounting;
use crate::sim::actor::{Actor, ActorClass, Articulation, Size};
use crate::sim::environment::{Light, Material};
use crate::sim::world::{Dynamics, WorldSettings};

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sport {
    Basketball,
    Handball,
    Football,
}

impl Sport {
    /// Length and width of the field, metres.
    fn field_m(self, draw: &mut Draw) -> (f64, f64) {
        match self {
            Self::Basketball => (28.0, 15.0),
            Self::Handball => (40.0, 20.0),
            Self::Football => (draw.uniform(40.0..68.0), draw.uniform(26.0..45.0)),
        }
    }

    /// Players of a team on the field.
    fn players(self, draw: &mut Draw) -> usize {
        match self {
            Self::Basketball => draw.whole(3, 5),
            Self::Handball => draw.whole(5, 7),
            Self::Football => draw.whole(5, 9),
        }
    }

    /// Whether the ball is played with the hands.
    fn by_hand(self) -> bool {
        self != Self::Football
    }
}

pub(super) fn build(settings: &WorldSettings) -> Parts {
    let mut draw = Draw::new(settings.seed, 4);
    let (frame_rate, jitter) = optics::timing(&mut draw, settings);
    let intrinsics = optics::intrinsics(&mut draw, settings, 50.0..95.0);
    let sport = draw.weighted(
        &[(1.0, Sport::Basketball), (1.0, Sport::Handball), (1.0, Sport::Football)],
        Sport::Handball,
    );
    let (length_m, width_m) = sport.field_m(&mut draw);
    let indoors = sport.by_hand() && draw.chance(0.5);
    // Along a touch line or behind a goal, some metres off the field.
    let off_m = draw.uniform(1.5..7.0);
    let (spot, yaw_rad) = if draw.chance(0.8) {
        let spot = Spot::new(draw.uniform(-0.35..0.35) * length_m, -(0.5 * width_m + off_m));
        (spot, FRAC_PI_2)
    } else {
        (
            Spot::new(-(0.5 * length_m + off_m), draw.uniform(-0.3..0.3) * width_m),
            0.0,
        )
    };
    let to_middle = Spot::origin() - spot;
    let turn_rad = draw.normal(0.0, 0.15, -0.35..0.35);
    let yaw_rad = 0.4 * yaw_rad + 0.6 * to_middle.y.atan2(to_middle.x) + turn_rad;
    let height_m = draw.uniform(1.8..8.0);
    let aim_m = (off_m + draw.uniform(0.35..0.7) * width_m).max(1.3 * height_m).max(9.0);
    let mounting = Mounting {
        height_m,
        pitch_down_rad: (height_m / aim_m).atan().min(0.7),
        roll_rad: optics::roll_rad(&mut draw),
    };
    let world_from_site = frame_at(spot, yaw_rad);

    let mut scenery = draw.fork();
    let mut stage = Stage::default();
    lay_field(&mut stage, &mut scenery, sport, length_m, width_m, indoors);
    surround(&mut stage, &mut scenery, (length_m, width_m), spot, indoors);
    let base = if indoors {
        looks::boards(&mut scenery)
    } else {
        looks::soil(&mut scenery)
    };
    let light = if indoors {
        lamps(&mut scenery)
    } else {
        looks::light(&mut scenery)
    };
    let imaging = looks::imaging(&mut scenery, &light, frame_rate);
    let environment = stage.into_environment(&mut scenery, base, &world_from_site, light, imaging);
    let pans = settings.seed % 2 == 1;
    let play = Play::new(draw, sport, (length_m, width_m), world_from_site, mounting, pans);
    Parts {
        environment,
        camera: optics::camera(intrinsics, mounting),
        frame_rate,
        jitter,
        dynamics: Box::new(play),
    }
}

/// The even light of a sports hall.
fn lamps(draw: &mut Draw) -> Light {
    let strength = draw.uniform(0.5..0.9);
    let sun = draw.uniform(0.0..0.35);
    let warm = draw.uniform(0.75..1.0);
    let color = |scale: f64| [scale, scale * (0.5 + 0.5 * warm), scale * warm].map(|value| value as f32);
    Light {
        towards_sun: Vector3::new(draw.uniform(-0.3..0.3), draw.uniform(-0.3..0.3), 1.0).normalize(),
        sun: color(sun),
        ambient: color(strength),
        zenith: color(0.2 * strength),
        horizon: color(0.3 * strength),
        clouds: 0.0,
    }
}

fn lay_field(stage: &mut Stage, draw: &mut Draw, sport: Sport, length_m: f64, width_m: f64, indoors: bool) {
    let surface = match sport {
        Sport::Football if draw.chance(0.8) => looks::lawn(draw),
        _ if indoors => looks::boards(draw),
        _ => looks::pitch(draw),
    };
    let margin_m = draw.uniform(1.5..5.0);
    let apron = if draw.chance(0.5) { surface } else { looks::pitch(draw) };
    let middle = Spot::origin();
    stage.rectangle(middle, length_m + 2.0 * margin_m, width_m + 2.0 * margin_m, 0.0, apron);
    stage.rectangle(middle, length_m, width_m, 0.0, surface);
    if sport == Sport::Football && draw.chance(0.6) {
        // Mown stripes.
        let mut striped = surface;
        striped.color = surface.color.map(|value| value * 1.18);
        let stripe_m = length_m / 12.0;
        for index in 0..6 {
            let x = -0.5 * length_m + (2.0 * f64::from(index) + 0.5) * stripe_m;
            stage.rectangle(Spot::new(x, 0.0), stripe_m, width_m, 0.0, striped);
        }
    }
    let line = looks::paint(draw);
    let thick_m = if sport == Sport::Football { 0.1 } else { 0.05 };
    let (half_x, half_y) = (0.5 * length_m, 0.5 * width_m);
    let box_of = |x: f64, y: f64, stage: &mut Stage| {
        for side in [-1.0, 1.0] {
            stage.strip(Spot::new(-x, side * y), Spot::new(x, side * y), thick_m, line);
            stage.strip(Spot::new(side * x, -y), Spot::new(side * x, y), thick_m, line);
        }
    };
    box_of(half_x, half_y, stage);
    stage.strip(Spot::new(0.0, -half_y), Spot::new(0.0, half_y), thick_m, line);
    let (circle_m, depth_m, reach_m) = match sport {
        Sport::Basketball => (1.8, 5.8, 2.45),
        Sport::Handball => (0.0, 0.0, 0.0),
        Sport::Football => (0.11 * length_m, 0.15 * length_m, 0.28 * width_m),
    };
    if circle_m > 0.0 {
        stage.arc(middle, circle_m, (0.0, TAU), thick_m, line);
    }
    for side in [-1.0, 1.0] {
        let goal = Spot::new(side * half_x, 0.0);
        let inwards = if side > 0.0 { PI } else { 0.0 };
        match sport {
            Sport::Basketball => {
                let key = looks::pitch(draw);
                let inner = Spot::new(side * (half_x - 0.5 * depth_m), 0.0);
                stage.rectangle(inner, depth_m, 2.0 * reach_m, 0.0, key);
                stage.arc(
                    Spot::new(side * (half_x - 1.575), 0.0),
                    6.75,
                    (inwards - 1.3, inwards + 1.3),
                    thick_m,
                    line,
                );
                stage.arc(
                    Spot::new(side * (half_x - depth_m), 0.0),
                    1.8,
                    (0.0, TAU),
                    thick_m,
                    line,
                );
            }
            Sport::Handball => {
                let area = looks::pitch(draw);
                let mut corners: Vec<Spot> = (0..=12)
                    .map(|index| goal + along(inwards - 1.5 + 0.25 * f64::from(index)) * 6.0)
                    .collect();
                corners.push(goal);
                stage.polygon(corners, area);
                stage.arc(goal, 6.0, (inwards - 1.5, inwards + 1.5), thick_m, line);
                stage.arc(goal, 9.0, (inwards - 1.1, inwards + 1.1), thick_m, line);
            }
            Sport::Football => {}
        }
        for edge in [-1.0, 1.0] {
            let x = side * (half_x - depth_m);
            if depth_m > 0.0 {
                stage.strip(
                    Spot::new(side * half_x, edge * reach_m),
                    Spot::new(x, edge * reach_m),
                    thick_m,
                    line,
                );
            }
        }
        if depth_m > 0.0 {
            let x = side * (half_x - depth_m);
            stage.strip(Spot::new(x, -reach_m), Spot::new(x, reach_m), thick_m, line);
        }
        goals(stage, draw, sport, side * half_x);
    }
}

fn goals(stage: &mut Stage, draw: &mut Draw, sport: Sport, x: f64) {
    let metal = looks::metal(draw);
    if sport == Sport::Basketball {
        let post = Spot::new(x + 1.0 * x.signum(), 0.0);
        stage.post(post, 0.1, 3.2, metal);
        stage.props.push(crate::sim::environment::Prop::Cuboid {
            base: nalgebra::Point3::new(x - 1.2 * x.signum(), 0.0, 2.9),
            size: Vector3::new(0.05, 1.8, 1.05),
            yaw_rad: 0.0,
            sides: Material::plain([0.75; 3]),
            top: Material::plain([0.6; 3]),
        });
    } else {
        let (half_m, height_m) = if sport == Sport::Handball {
            (1.5, 2.0)
        } else {
            (2.5, 2.1)
        };
        for side in [-1.0, 1.0] {
            stage.post(Spot::new(x, side * half_m), 0.05, height_m, metal);
        }
        stage.props.push(crate::sim::environment::Prop::Cuboid {
            base: nalgebra::Point3::new(x, 0.0, height_m),
            size: Vector3::new(0.08, 2.0 * half_m + 0.08, 0.08),
            yaw_rad: 0.0,
            sides: metal,
            top: metal,
        });
    }
}

/// Stands, hoardings, walls or trees round the field; nothing between the camera and it.
fn surround(stage: &mut Stage, draw: &mut Draw, (length_m, width_m): (f64, f64), camera: Spot, indoors: bool) {
    let gap_m = draw.uniform(4.0..9.0);
    for (index, yaw_rad) in [0.0, FRAC_PI_2, PI, -FRAC_PI_2].into_iter().enumerate() {
        let outwards = along(yaw_rad);
        let across = if index % 2 == 0 { width_m } else { length_m };
        let reach = 0.5 * if index % 2 == 0 { length_m } else { width_m };
        // The camera's own side stays open.
        if camera.coords.dot(&outwards) > reach {
            continue;
        }
        let edge = Spot::origin() + outwards * (reach + gap_m);
        if draw.chance(0.5) {
            let (sides, top) = (looks::motley(draw), looks::roof(draw));
            let hoarding = Footprint::new(
                Spot::origin() + outwards * (reach + 0.6 * gap_m),
                yaw_rad,
                0.15,
                0.9 * across,
            );
            stage.cuboid(hoarding, draw.uniform(0.7..1.1), sides, top);
        }
        let rows = draw.whole(0, 7);
        let crowd = looks::motley(draw);
        for row in 0..rows {
            let spot = edge + outwards * (0.9 * row as f64);
            let height_m = 0.6 + 0.45 * row as f64;
            stage.cuboid(
                Footprint::new(spot, yaw_rad, 0.9, 1.02 * across),
                height_m,
                crowd,
                crowd,
            );
        }
        let back = edge + outwards * (0.9 * rows as f64 + draw.uniform(2.0..6.0));
        if indoors {
            let (sides, top) = (looks::wall(draw), looks::roof(draw));
            stage.cuboid(Footprint::new(back, yaw_rad, 0.5, 2.2 * across), 9.0, sides, top);
        } else {
            let mut reached_m = -0.8 * across;
            while reached_m < 0.8 * across {
                let spot = back + left_of(outwards) * reached_m + outwards * draw.uniform(0.0..6.0);
                if draw.chance(0.5) {
                    stage.tree(draw, spot);
                } else if draw.chance(0.4) {
                    let footprint = Footprint::new(spot + outwards * 12.0, yaw_rad, 10.0, draw.uniform(8.0..20.0));
                    let height_m = draw.uniform(4.0..14.0);
                    stage.house(draw, footprint, height_m);
                }
                reached_m += draw.uniform(5.0..14.0);
            }
        }
    }
}

/// A player: a walker with a team and something to do.
#[derive(Clone, Debug)]
struct Player {
    walker: Walker,
    team: usize,
    /// Where it runs now.
    target: Spot,
    speed_mps: f64,
    /// Seconds until it decides anew.
    decides_s: f64,
    top_mps: f64,
}

/// What the ball does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum BallState {
    /// A player has it; seconds until it is passed.
    Held { player: usize, left_s: f64, dribble: bool },
    /// It flies or rolls, perhaps to somebody.
    Free { to: Option<usize>, since_s: f64 },
}

#[derive(Clone, Debug)]
struct Ball {
    id: u16,
    size: Size,
    look: u64,
    position: Vector3<f64>,
    velocity: Vector3<f64>,
    roll_rad: f64,
    state: BallState,
}

struct Play {
    players: Vec<Player>,
    ball: Ball,
    sport: Sport,
    half_m: Vector2<f64>,
    world_from_site: Isometry2<f64>,
    mounting: Mounting,
    pans: bool,
    pan_rad: f64,
    pan_radps: f64,
    accelerations: Vec<Vector2<f64>>,
    draw: Draw,
}

impl Play {
    fn new(
        mut draw: Draw,
        sport: Sport,
        (length_m, width_m): (f64, f64),
        world_from_site: Isometry2<f64>,
        mounting: Mounting,
        pans: bool,
    ) -> Self {
        let mut ids = Ids::new();
        let half_m = Vector2::new(0.5 * length_m, 0.5 * width_m);
        let count = sport.players(&mut draw);
        let kits = [draw.seed(), draw.seed()];
        let mut players = Vec::new();
        for (team, kit) in kits.into_iter().enumerate() {
            for index in 0..count {
                let Some(id) = ids.next() else { break };
                let spot = Spot::new(
                    draw.uniform(-0.7..0.7) * half_m.x,
                    (2.0 * (index as f64 + draw.uniform(0.2..0.8)) / count as f64 - 1.0) * 0.9 * half_m.y,
                );
                let mut walker = Walker::new(&mut draw, id, spot, 0.0, 3.0);
                walker.velocity_mps = along(draw.uniform(0.0..TAU)) * draw.uniform(0.0..3.0);
                walker.yaw_rad = walker.velocity_mps.y.atan2(walker.velocity_mps.x);
                walker.agility_mps2 = draw.uniform(4.0..5.8);
                // Team mates share the upper half of their looks' seed, and so their colours.
                walker.look = (kit & !0xffff_ffff) | (walker.look & 0xffff_ffff);
                players.push(Player {
                    walker,
                    team,
                    target: spot,
                    speed_mps: 1.5,
                    decides_s: draw.uniform(0.0..1.0),
                    top_mps: draw.uniform(6.5..9.0),
                });
            }
        }
        let size = bodies::extent(ActorClass::Ball, &mut draw);
        let holder = draw.below(players.len());
        let at = players[holder].walker.position;
        let ball = Ball {
            id: ids.next().unwrap_or(u16::MAX),
            size,
            look: draw.seed(),
            position: Vector3::new(at.x + 0.4, at.y, if sport.by_hand() { 0.9 } else { 0.0 }),
            velocity: Vector3::zeros(),
            roll_rad: 0.0,
            state: BallState::Held {
                player: holder,
                left_s: draw.uniform(1.0..3.0),
                dribble: false,
            },
        };
        Self {
            players,
            ball,
            sport,
            half_m,
            world_from_site,
            mounting,
            pans,
            pan_rad: 0.0,
            pan_radps: 0.0,
            accelerations: Vec::new(),
            draw,
        }
    }

    /// What a player does for the next moment.
    fn decide(&mut self, index: usize) {
        let ball = Spot::from(self.ball.position.xy());
        let holder = match self.ball.state {
            BallState::Held { player, .. } => Some(player),
            BallState::Free { to, .. } => to,
        };
        let attacking = holder.map(|holder| self.players[holder].team);
        let me = &self.players[index];
        let way = if me.team == 0 { 1.0 } else { -1.0 };
        let goal = Spot::new(way * self.half_m.x, 0.0);
        let own_goal = Spot::new(-way * self.half_m.x, 0.0);
        let here = me.walker.position;
        let draw = &mut self.draw;
        let cut = along(draw.uniform(0.0..TAU));
        let (target, eagerness, wait_s) = match attacking {
            Some(team) if team == me.team => match () {
                // With the ball: towards the goal, round whoever stands there.
                () if holder == Some(index) => (
                    here + (goal - here).cap_magnitude(6.0) * 0.7 + cut * 3.0,
                    draw.uniform(0.25..0.75),
                    draw.uniform(0.5..1.4),
                ),
                // A cut to get free, a jog, or a rest.
                () if draw.chance(0.45) => (
                    here + cut * draw.uniform(3.0..10.0) + (goal - here) * 0.12,
                    draw.uniform(0.55..1.0),
                    draw.uniform(0.7..1.8),
                ),
                () if draw.chance(0.25) => (here, 0.0, draw.uniform(0.6..3.0)),
                () => (
                    ball + cut * draw.uniform(5.0..12.0) + (goal - ball) * 0.3,
                    draw.uniform(0.2..0.55),
                    draw.uniform(0.8..2.0),
                ),
            },
            // Defenders stay between their opponent and their goal.
            _ => {
                let opponent = self
                    .players
                    .iter()
                    .enumerate()
                    .filter(|(_, other)| other.team != me.team)
                    .nth(index % (self.players.len() / 2))
                    .map_or(ball, |(_, other)| {
                        other.walker.position + other.walker.velocity_mps * 0.4
                    });
                let mark = opponent + (own_goal - opponent).cap_magnitude(1.8) + cut * 0.8;
                let hurry = ((mark - here).norm() / 6.0).clamp(0.1, 1.0);
                (mark, hurry, draw.uniform(0.25..0.7))
            }
        };
        let bound = self.half_m + Vector2::new(0.5, 0.5);
        let player = &mut self.players[index];
        player.target = Spot::new(target.x.clamp(-bound.x, bound.x), target.y.clamp(-bound.y, bound.y));
        player.speed_mps = eagerness * player.top_mps;
        player.decides_s = wait_s;
    }

    /// The player who runs for a loose ball.
    fn chaser(&self) -> Option<usize> {
        let BallState::Free { to, .. } = self.ball.state else {
            return None;
        };
        let spot = Spot::from(self.ball.position.xy() + self.ball.velocity.xy() * 0.4);
        to.or_else(|| {
            let distance = |player: &Player| (player.walker.position - spot).norm_squared();
            (0..self.players.len())
                .min_by(|one, other| distance(&self.players[*one]).total_cmp(&distance(&self.players[*other])))
        })
    }

    fn run(&mut self, step_s: f64) {
        let chaser = self.chaser();
        for index in 0..self.players.len() {
            self.players[index].decides_s -= step_s;
            if self.players[index].decides_s <= 0.0 {
                self.decide(index);
            }
            let ball = Spot::from(self.ball.position.xy() + self.ball.velocity.xy() * 0.35);
            let player = &mut self.players[index];
            if chaser == Some(index) {
                player.target = ball;
                player.speed_mps = player.top_mps * 0.85;
            }
            let way = player.target - player.walker.position;
            let left_m = way.norm();
            // Slow down so as to stop at the target.
            let stopping_mps = (2.0 * 3.5 * left_m).sqrt();
            let speed_mps = player.speed_mps.min(stopping_mps);
            player.walker.desired_mps = if left_m < 0.25 || speed_mps < 0.2 {
                Vector2::zeros()
            } else {
                way * (speed_mps / left_m)
            };
            player.walker.pace_mps = player.top_mps / 1.4;
        }
        self.accelerations.clear();
        let players = &self.players;
        self.accelerations
            .extend(players.iter().enumerate().map(|(index, player)| {
                let mut acceleration =
                    (player.walker.desired_mps - player.walker.velocity_mps) * if index % 2 == 0 { 2.6 } else { 3.2 };
                if player.walker.desired_mps != Vector2::zeros() {
                    for other in players {
                        let apart = player.walker.position - other.walker.position;
                        let distance_m = apart.norm();
                        if distance_m > 1e-6 && distance_m < 2.0 {
                            acceleration += apart / distance_m * (3.0 * ((0.75 - distance_m) / 0.3).exp()).min(9.0);
                        }
                    }
                }
                acceleration
            }));
        for (player, acceleration) in self.players.iter_mut().zip(&self.accelerations) {
            player.walker.advance(*acceleration, step_s);
        }
    }

    /// Lets the ball move on, and players throw, kick and catch it.
    fn play_ball(&mut self, step_s: f64) {
        let before = self.ball.velocity;
        let mut acceleration = Vector3::new(0.0, 0.0, -bodies::GRAVITY);
        match self.ball.state {
            BallState::Held {
                player,
                left_s,
                dribble,
            } => {
                let holder = &self.players[player].walker;
                let facing = along(holder.yaw_rad);
                let by_hand = self.sport.by_hand();
                let ahead_m = if by_hand { 0.38 } else { 0.55 };
                let hand = holder.position + facing * ahead_m - left_of(facing) * 0.2;
                let height_m = if by_hand { 0.95 } else { 0.0 };
                let off = Vector3::new(hand.x, hand.y, height_m) - self.ball.position;
                let drift = Vector3::new(holder.velocity_mps.x, holder.velocity_mps.y, 0.0) - before;
                let pull = off * 60.0 + drift * 14.0;
                let moving = holder.velocity_mps.norm() > 0.8;
                let mut dribble = dribble;
                if by_hand && dribble {
                    // On its way down and up again the hand only steers.
                    acceleration.x = pull.x;
                    acceleration.y = pull.y;
                    if self.ball.position.z > 0.85 && before.z > -0.5 && before.z < 1.0 {
                        dribble = false;
                    }
                } else {
                    acceleration = pull;
                    if by_hand && moving && off.norm() < 0.25 {
                        dribble = true;
                        acceleration.z = -3.2 / step_s;
                    }
                }
                if !by_hand {
                    acceleration.z = -bodies::GRAVITY;
                }
                self.ball.state = BallState::Held {
                    player,
                    left_s: left_s - step_s,
                    dribble,
                };
                if left_s <= 0.0 && off.norm() < 1.2 {
                    self.pass(player);
                    return;
                }
            }
            BallState::Free { to, since_s } => {
                let on_ground = self.ball.position.z < 0.01 && before.z.abs() < 0.3;
                if on_ground {
                    // Rolling resistance.
                    let rolling = before.xy();
                    let slowed = rolling.cap_magnitude(0.9);
                    acceleration.x = -slowed.x;
                    acceleration.y = -slowed.y;
                } else {
                    // Drag: ½ ρ c A v² / m, about 0.012 v² for a ball of this size.
                    acceleration -= before * (0.012 * before.norm());
                }
                self.ball.state = BallState::Free {
                    to,
                    since_s: since_s + step_s,
                };
                self.catch(since_s);
            }
        }
        acceleration = acceleration.cap_magnitude(200.0);
        let ball = &mut self.ball;
        ball.velocity += acceleration * step_s;
        if let BallState::Held { .. } = ball.state {
            ball.velocity = ball.velocity.cap_magnitude(14.0);
        }
        ball.position += (before + ball.velocity) * (0.5 * step_s);
        if ball.position.z < 0.0 {
            ball.position.z = 0.0;
            let rebound = if ball.velocity.z < -0.6 { 0.76 } else { 0.0 };
            ball.velocity.z = -ball.velocity.z * rebound;
        }
        // The nets round the field.
        for axis in 0..2 {
            let most = self.half_m[axis] + 2.5;
            if ball.position[axis].abs() > most && ball.position[axis] * ball.velocity[axis] > 0.0 {
                ball.velocity[axis] *= -0.4;
            }
        }
        let speed_mps = ball.velocity.xy().norm();
        if ball.position.z < 0.01 && speed_mps < 0.05 && matches!(ball.state, BallState::Free { .. }) {
            ball.velocity = Vector3::zeros();
        }
        ball.roll_rad = (ball.roll_rad + 2.0 * speed_mps / ball.size.height_m * step_s) % TAU;
    }

    fn pass(&mut self, from: usize) {
        let team = self.players[from].team;
        let here = self.ball.position;
        let mates: Vec<usize> = (0..self.players.len())
            .filter(|mate| *mate != from && self.players[*mate].team == team)
            .collect();
        let shoots = self.draw.chance(0.12);
        let mate = mates.get(self.draw.below(mates.len())).copied();
        let way_x = if team == 0 { 1.0 } else { -1.0 };
        let (aim, receiver, speed_mps) = match mate {
            Some(mate) if !shoots => {
                let walker = &self.players[mate].walker;
                let speed_mps = self.draw.uniform(8.0..15.0);
                let flight_s = (walker.position.coords - here.xy()).norm() / speed_mps;
                (walker.position + walker.velocity_mps * flight_s, Some(mate), speed_mps)
            }
            _ => (
                Spot::new(way_x * self.half_m.x, self.draw.uniform(-2.5..2.5)),
                None,
                self.draw.uniform(12.0..22.0),
            ),
        };
        let way = aim.coords - here.xy();
        let distance_m = way.norm().max(0.5);
        let speed_mps = speed_mps.min(2.0 + distance_m * 1.3);
        let flight_s = distance_m / speed_mps;
        let rolls = !self.sport.by_hand() && self.draw.chance(0.65);
        let bounces = self.sport.by_hand() && self.draw.chance(0.2);
        let rise = match () {
            () if rolls => 0.0,
            () if bounces => -1.5,
            () => (1.1 - here.z) / flight_s + 0.5 * bodies::GRAVITY * flight_s,
        };
        let flat = way / distance_m * (speed_mps + if rolls { 0.5 * flight_s * 0.9 } else { 0.0 });
        self.ball.velocity = Vector3::new(flat.x, flat.y, rise.min(9.0));
        self.ball.state = BallState::Free {
            to: receiver,
            since_s: 0.0,
        };
    }

    fn catch(&mut self, since_s: f64) {
        if since_s < 0.25 {
            return;
        }
        let position = self.ball.position;
        let relative = |player: &Player| (player.walker.position.coords - position.xy()).norm();
        let nearest = (0..self.players.len())
            .min_by(|one, other| relative(&self.players[*one]).total_cmp(&relative(&self.players[*other])));
        let Some(nearest) = nearest else { return };
        let reach_m = match self.ball.state {
            BallState::Free { to, .. } if to == Some(nearest) => 0.9,
            _ => 0.6,
        };
        if relative(&self.players[nearest]) < reach_m && position.z < 2.2 {
            self.ball.state = BallState::Held {
                player: nearest,
                left_s: self.draw.uniform(0.4..3.5),
                dribble: false,
            };
        } else if since_s > 4.0
            && let BallState::Free { to: to @ Some(_), .. } = &mut self.ball.state
        {
            // The pass went astray: whoever is nearest goes for it.
            *to = None;
        }
    }

    /// The pan follows the play as a person's hand would: a damped spring towards it with a bounded speed.
    fn pan(&mut self, step_s: f64) {
        if !self.pans {
            return;
        }
        let mut focus = self.ball.position.xy() * 3.0;
        for player in &self.players {
            focus += player.walker.position.coords;
        }
        focus /= 3.0 + self.players.len() as f64;
        let focus = self.world_from_site * Spot::from(focus);
        let wanted = focus.y.atan2(focus.x.max(3.0)).clamp(-1.2, 1.2);
        let acceleration = 4.0 * (wanted - self.pan_rad) - 4.0 * self.pan_radps;
        self.pan_radps = (self.pan_radps + acceleration.clamp(-1.5, 1.5) * step_s).clamp(-0.8, 0.8);
        self.pan_rad += self.pan_radps * step_s;
    }
}

impl Dynamics for Play {
    fn step(&mut self, step_s: f64) {
        self.run(step_s);
        self.play_ball(step_s);
        self.pan(step_s);
    }

    fn actors(&self, actors: &mut Vec<Actor>) {
        let first = actors.len();
        actors.extend(self.players.iter().map(|player| player.walker.actor()));
        let ball = &self.ball;
        actors.push(Actor {
            id: ball.id,
            class: ActorClass::Ball,
            size: ball.size,
            look: ball.look,
            base_in_world: ball.position.into(),
            yaw_rad: if ball.velocity.xy().norm() > 0.0 {
                ball.velocity.y.atan2(ball.velocity.x)
            } else {
                0.0
            },
            velocity_in_world_mps: ball.velocity,
            articulation: Articulation {
                phase_rad: ball.roll_rad,
                ..Articulation::default()
            },
        });
        for actor in &mut actors[first..] {
            place(actor, &self.world_from_site);
        }
    }

    fn world_from_camera(&self) -> Isometry3<f64> {
        let pan = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), self.pan_rad);
        Isometry3::from_parts(Translation3::identity(), pan) * self.mounting.world_from_camera()
    }
}
