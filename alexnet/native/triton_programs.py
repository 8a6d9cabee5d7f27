"""What runs on the GPU for `alexnet.native.triton_kernels`, in Triton's subset of Python.

A program works on a tile, some pixels by some channels, and goes over memory once; what it shares
with its neighbours it reads from cache and computes again. The spatial norm's backward pass alone
takes a second program, for the products that its boxes sum.

What belongs to a pixel is (P, 1), to a channel (1, C), to both (P, C). norm_pool.cpp,
spatial_norm.cpp and training.cpp state the equations.
"""

import triton
import triton.language as tl

LINE = tl.constexpr(1024)  # elements of a program of `cut` and of `update`
NO_WINNER = tl.constexpr(255)
LARGEST_SUM = tl.constexpr(3e38)  # above it an infinite activation would become no number


@triton.jit
def _tile(h, w, images, block: tl.constexpr):
    """Return the pixels and channels of a tile of images h by w, where they lie, which exist."""
    pixel = tl.program_id(0) * block.pixels + tl.arange(0, block.pixels)[:, None]
    lane = tl.arange(0, block.channels)[None, :]
    channel = tl.program_id(1) * images.width + lane
    keep = (pixel < images.n * h * w) & (lane < images.width) & (channel < images.c)
    return pixel, channel, pixel.to(tl.int64) * images.c + channel, keep


@triton.jit
def _place(pixel, h, w):
    """Return the image, row and column of a pixel."""
    return pixel // (h * w), pixel // w % h, pixel % w


@triton.jit
def _pixel(n, row, column, h, w):
    """Return the pixel at a place, and whether the place is inside the image."""
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    return ((n * h + row) * w + column).to(tl.int64), inside


@triton.jit
def _load(x, at, keep):
    return tl.load(x + at, mask=keep, other=0.0).to(tl.float32)


@triton.jit
def _relu(x):
    return tl.where(x < 0, 0.0, x)  # what is not a number stays so


@triton.jit
def _window_sum(values, below: tl.constexpr, above: tl.constexpr):
    """Sum over the lanes from `below` below each to `above` above it; there are zeros beyond."""
    lanes: tl.constexpr = values.shape[1]
    lane = tl.broadcast_to(tl.arange(0, lanes)[None, :], values.shape)
    total = values
    for j in tl.static_range(below + 1 + above):
        if j != below:
            near = lane + (j - below)
            inside = (near >= 0) & (near < lanes)
            # The lanes are known here, so that this takes registers and a few shuffles.
            total += tl.where(inside, tl.gather(values, tl.where(inside, near, 0), 1), 0.0)
    return total


@triton.jit
def _inverse_fourth_root(energy, norm: tl.constexpr):
    s = norm.bias + norm.alpha * energy
    return tl.rsqrt(tl.sqrt(tl.where(s > LARGEST_SUM, LARGEST_SUM, s)))


@triton.jit
def _to_beta(root, norm: tl.constexpr):
    """Return root ** (4 * beta)."""
    square = root * root
    if norm.beta == 0.25:
        return root
    elif norm.beta == 0.5:
        return square
    elif norm.beta == 0.75:
        return square * root
    else:
        return square * square


@triton.jit
def norm_pool(x, pooled, images, stage: tl.constexpr, block: tl.constexpr):
    """Write the pooled pixels of a tile and their winners, normalising each window anew."""
    norm: tl.constexpr = stage.norm
    pool: tl.constexpr = stage.pool
    size: tl.constexpr = pool.size
    pixel, channel, to, keep = _tile(images.out_h, images.out_w, images, block)
    n, row, column = _place(pixel, images.out_h, images.out_w)
    top = row * pool.stride - pool.padding
    left = column * pool.stride - pool.padding
    best = tl.full((block.pixels, block.channels), float("-inf"), tl.float32)
    # The first place inside the image wins where nothing exceeds minus infinity.
    winner = tl.maximum(-top, 0) * size + tl.maximum(-left, 0) + tl.zeros_like(channel)
    for i in range(size):
        for j in tl.static_range(size):
            near, inside = _pixel(n, top + i, left + j, images.h, images.w)
            inside = inside & keep
            b = _load(x, near * images.c + channel, inside)
            if stage.relu_first:
                b = _relu(b)
            if norm is not None:
                root = _inverse_fourth_root(_window_sum(b * b, norm.below, norm.above), norm)
                b *= _to_beta(root, norm)
            wins = inside & ((b > best) | (b != b))
            best = tl.where(wins, b, best)
            winner = tl.where(wins, i * size + j, winner)
    if stage.relu_last:
        winner = tl.where(best > 0, winner, NO_WINNER)
        best = _relu(best)
    tl.store(pooled.y + to, best, mask=keep)
    if pooled.winners is not None:
        tl.store(pooled.winners + to, winner.to(tl.uint8), mask=keep)


@triton.jit
def _unpool(pooled, images, pool: tl.constexpr, block: tl.constexpr):
    """Sum for each pixel the gradients of the windows that it won."""
    size: tl.constexpr = pool.size
    reach: tl.constexpr = (pool.size - 1) // pool.stride  # to the first window that holds a pixel
    pixel, channel, _, keep = _tile(images.h, images.w, images, block)
    n, row, column = _place(pixel, images.h, images.w)
    bottom = (row + pool.padding) // pool.stride
    right = (column + pool.padding) // pool.stride
    gradient = tl.full((block.pixels, block.channels), 0.0, tl.float32)
    for i in range(reach + 1):
        for j in tl.static_range(reach + 1):
            h = bottom - reach + i
            w = right - reach + j
            below = row + pool.padding - h * pool.stride  # where the pixel is in the window
            beside = column + pool.padding - w * pool.stride
            window, inside = _pixel(n, h, w, images.out_h, images.out_w)
            inside = inside & keep & (below < size) & (beside < size)
            at = window * images.c + channel
            winner = tl.load(pooled.winners + at, mask=inside, other=NO_WINNER)
            won = winner.to(tl.int32) == below * size + beside
            gradient += tl.where(won, _load(pooled.y, at, inside), 0.0)
    return gradient


@triton.jit
def norm_pool_backward(pooled, x, dx, images, stage: tl.constexpr, block: tl.constexpr):
    """Write the gradient of a tile of x.

    dx = d * s ** -beta - 2 * alpha * beta * a * sum(d * a * s ** (-beta - 1)), masked by the ReLU
    """
    norm: tl.constexpr = stage.norm
    _, _, at, keep = _tile(images.h, images.w, images, block)
    if pooled.winners is None:
        d = _load(pooled.y, at, keep)
    else:
        d = _unpool(pooled, images, stage.pool, block)
    if norm is not None:
        a = _load(x, at, keep)
        if stage.relu_first:
            a = _relu(a)
        root = _inverse_fourth_root(_window_sum(a * a, norm.below, norm.above), norm)
        d *= _to_beta(root, norm)
        products = d * a * root * root * root * root
        # Channel c is in the windows of channels c - above to c + below.
        d -= 2 * norm.alpha * norm.beta * a * _window_sum(products, norm.above, norm.below)
        if stage.relu_first:
            d = tl.where(a > 0, d, 0.0)
    tl.store(dx + at, d, mask=keep)


@triton.jit
def _box_sum(x, power: tl.constexpr, images, before: tl.constexpr, after: tl.constexpr, block):
    """Sum x ** power over the positions from `before` up and left to `after` down and right."""
    pixel, channel, at, keep = _tile(images.h, images.w, images, block)
    n, row, column = _place(pixel, images.h, images.w)
    total = tl.full(at.shape, 0.0, tl.float32)
    for i in range(before + 1 + after):
        for j in tl.static_range(before + 1 + after):
            near, inside = _pixel(n, row - before + i, column - before + j, images.h, images.w)
            value = _load(x, near * images.c + channel, inside & keep)
            total += value * value if power == 2 else value
    return total


@triton.jit
def _box_root(x, images, norm: tl.constexpr, block: tl.constexpr):
    energy = _box_sum(x, 2, images, norm.below, norm.above, block)
    return _inverse_fourth_root(energy, norm)


@triton.jit
def spatial_norm(x, y, images, norm: tl.constexpr, block: tl.constexpr):
    """Write x * s ** -beta of a tile."""
    _, _, at, keep = _tile(images.h, images.w, images, block)
    root = _box_root(x, images, norm, block)
    tl.store(y + at, _load(x, at, keep) * _to_beta(root, norm), mask=keep)


@triton.jit
def spatial_products(gradients, x, images, norm: tl.constexpr, block: tl.constexpr):
    """Write dy * x * s ** (-beta - 1) of a tile."""
    _, _, at, keep = _tile(images.h, images.w, images, block)
    root = _box_root(x, images, norm, block)
    product = _load(gradients.dy, at, keep) * _to_beta(root, norm) * _load(x, at, keep)
    tl.store(gradients.products + at, product * root * root * root * root, mask=keep)


@triton.jit
def spatial_norm_backward(gradients, x, dx, images, norm: tl.constexpr, block: tl.constexpr):
    """Write the gradient of a tile of x, from the products around it."""
    _, _, at, keep = _tile(images.h, images.w, images, block)
    root = _box_root(x, images, norm, block)
    products = _box_sum(gradients.products, 1, images, norm.above, norm.below, block)
    d = _load(gradients.dy, at, keep) * _to_beta(root, norm)
    d -= 2 * norm.alpha * norm.beta * _load(x, at, keep) * products
    tl.store(dx + at, d, mask=keep)


@triton.jit
def cut(pictures, windows, values, out, sizes):
    """Write a line of one window: (picture - mean + shift) / divide_by, mirrored or not."""
    h, w, size = sizes
    n = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * LINE + tl.arange(0, LINE)
    keep = i < size * size * 3
    colour = i % 3
    column = i // 3 % size
    column = tl.where(tl.load(windows.flip + n) != 0, size - 1 - column, column)
    row = tl.load(windows.top + n) + i // 3 // size
    at = (row * w + tl.load(windows.left + n) + column) * 3 + colour
    value = _load(pictures + n * h * w * 3, at, keep)
    if values.mean is not None:
        value -= _load(values.mean, at, keep)
    if values.shift is not None:
        value += _load(values.shift + n * 3, colour, keep)
    tl.store(out + n * size * size * 3 + i, value / values.divide_by, mask=keep)


@triton.jit
def update(weights, velocities, gradients, copies, count, factors):
    """Set velocity to momentum * velocity + rate * (gradient + decay * weight); subtract it."""
    momentum, rate, decay = factors
    i = tl.program_id(0) * LINE + tl.arange(0, LINE)
    keep = i < count
    w = _load(weights, i, keep)
    v = momentum * _load(velocities, i, keep)
    v += rate * (_load(gradients, i, keep) + decay * w)
    w -= v
    tl.store(velocities + i, v, mask=keep)
    tl.store(weights + i, w, mask=keep)
    if copies is not None:
        tl.store(copies + i, w, mask=keep)
