//! The cells of a network's feature maps, one map a stride.

/// One feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// Input pixels between cells.
    pub stride: u32,
    /// Cells across.
    pub columns: u32,
    /// Cells down.
    pub rows: u32,
}

impl Level {
    /// Number of cells.
    pub fn cells(&self) -> usize {
        self.columns as usize * self.rows as usize
    }

    /// Column and row of a cell.
    pub fn position(&self, cell: usize) -> (f32, f32) {
        let columns = self.columns.max(1) as usize;
        ((cell % columns) as f32, (cell / columns) as f32)
    }
}

/// All feature maps of an input size.
#[derive(Default)]
pub(super) struct Grid {
    levels: Vec<Level>,
    /// Column, row and stride of every cell, map after map.
    cells: Vec<[f32; 3]>,
    size: (u32, u32),
}

impl Grid {
    /// Recomputes the maps when the input size is another.
    pub fn update(&mut self, strides: &[u32], width: u32, height: u32) {
        if self.size == (width, height) {
            return;
        }
        self.size = (width, height);
        self.levels = strides
            .iter()
            .map(|&stride| Level {
                stride,
                columns: width.div_ceil(stride.max(1)),
                rows: height.div_ceil(stride.max(1)),
            })
            .collect();
        self.cells.clear();
        for level in &self.levels {
            self.cells.extend((0..level.cells()).map(|cell| {
                let (column, row) = level.position(cell);
                [column, row, level.stride as f32]
            }));
        }
    }

    /// One map.
    pub fn level(&self, index: usize) -> Option<Level> {
        self.levels.get(index).copied()
    }

    /// Column, row and stride of every cell.
    pub fn cells(&self) -> &[[f32; 3]] {
        &self.cells
    }
}
