// Which windows of x a convolution's outputs see; im2col.cpp says what that is. A place walks over
// the positions of a grid, picture by picture, along the last axis first.

#pragma once

#include <algorithm>
#include <cstdint>

struct Im2col {
  int64_t pictures, size[3];         // x
  int64_t grid[3], stride[3];        // positions; elements of x from one to the next
  int64_t out[3], first[3], step[3]; // y, and where in it the positions are
  int64_t groups, channels, kernels; // the latter two of a group
  int64_t origin, count;             // kernels of each group that w has here
  int64_t taps, rows, depth, width;  // of a block: positions, numbers of a window, kernels
  int64_t threads, buffer;           // numbers of a thread's buffer
};

namespace {

// What the threads of one call share.
struct Windows {
  const Im2col& op;
  const int64_t* taps;
  int64_t positions, pixels, all_channels, low[3], high[3];

  Windows(const Im2col& op, const int64_t* taps)
      : op(op), taps(taps), positions(op.grid[0] * op.grid[1] * op.grid[2]),
        pixels(op.size[0] * op.size[1] * op.size[2]), all_channels(op.groups * op.channels) {
    for (int axis = 0; axis < 3; ++axis) {
      low[axis] = high[axis] = taps[axis];
      for (int64_t tap = 0; tap < op.taps; ++tap) {
        low[axis] = std::min(low[axis], taps[3 * tap + axis]);
        high[axis] = std::max(high[axis], taps[3 * tap + axis]);
      }
    }
  }

  int64_t pixel(const int64_t* at) const {
    return (at[0] * op.size[1] + at[1]) * op.size[2] + at[2];
  }
};

// A position of the grid: which picture, and its window's origin in x.
struct Place {
  int64_t n, p[3], origin[3];

  Place(const Windows& windows, int64_t position) : n(position / windows.positions) {
    position %= windows.positions;
    for (int axis = 2; axis >= 0; --axis) {
      p[axis] = position % windows.op.grid[axis];
      position /= windows.op.grid[axis];
      origin[axis] = p[axis] * windows.op.stride[axis];
    }
  }

  void next(const Im2col& op) {
    for (int axis = 2; axis >= 0; --axis) {
      origin[axis] += op.stride[axis];
      if (++p[axis] < op.grid[axis]) return;
      p[axis] = origin[axis] = 0;
    }
    ++n;
  }

  // How many positions from here on along the last axis have windows that are all inside of x.
  int64_t inside(const Windows& windows) const {
    const Im2col& op = windows.op;
    for (int axis = 0; axis < 3; ++axis)
      if (origin[axis] + windows.low[axis] < 0 ||
          origin[axis] + windows.high[axis] >= op.size[axis])
        return 0;
    const int64_t room = op.size[2] - 1 - windows.high[2] - origin[2];
    return std::min(op.grid[2] - p[2], room / op.stride[2] + 1);
  }

  void skip(const Im2col& op, int64_t count) {
    p[2] += count - 1;
    origin[2] += (count - 1) * op.stride[2];
    next(op);
  }

  bool meets(const Windows& windows, const int64_t* tap) const {
    bool inside = true;
    for (int axis = 0; axis < 3; ++axis)
      inside &= uint64_t(origin[axis] + tap[axis]) < uint64_t(windows.op.size[axis]);
    return inside;
  }
};

}  // namespace
