// Scales and ticks for plots: where a value lies, and which values to name on an axis.

/**
 * Makes a scale from values to pixels.
 *
 * @param {[number, number]} values the least and the largest, both above 0 if `isLog`
 * @param {[number, number]} pixels where these lie
 * @param {boolean} isLog
 * @returns {function(number): number}
 */
export function scale([low, high], [from, to], isLog = false) {
  const at = isLog ? Math.log10 : (value) => value;
  const span = at(high) - at(low) || 1;
  return (value) => from + ((at(value) - at(low)) / span) * (to - from);
}

/** Returns round values from low to high, `most` at the most: steps of 1, 2 or 5 times a ten. */
export function ticks(low, high, most) {
  const rough = (high - low) / Math.max(1, most - 1);
  if (!(rough > 0)) {
    return [low];
  }
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * ten).find((each) => each >= rough * 0.9999);
  const first = Math.ceil(low / step - 1e-6);
  const last = Math.floor(high / step + 1e-6);
  return Array.from({ length: last - first + 1 }, (_, i) => tidy((first + i) * step));
}

/** Returns round values for a logarithmic axis: tens, with twos and fives if these are few. */
export function logTicks(low, high, most) {
  const decades = Math.log10(high / low);
  if (decades < 0.8) {
    return ticks(low, high, most).filter((value) => value > 0);
  }
  const first = Math.floor(Math.log10(low));
  const tens = Array.from({ length: Math.ceil(decades) + 2 }, (_, i) => 10 ** (first + i));
  const inside = (value) => value >= low * 0.9999 && value <= high * 1.0001;
  for (const parts of [[1, 2, 5], [1, 3], [1]]) {
    const found = tens.flatMap((ten) => parts.map((part) => tidy(part * ten))).filter(inside);
    if (found.length <= most) {
      return found;
    }
  }
  const found = tens.map(tidy).filter(inside);
  const stride = Math.ceil(found.length / most);
  return found.filter((_, i) => i % stride === 0);
}

/** Widens a range to round values. */
export function widened(low, high, most) {
  if (low === high) {
    return low === 0 ? [0, 1] : [Math.min(0, 2 * low), Math.max(0, 2 * low)];
  }
  const [first, second] = ticks(low, high, most);
  const step = second - first;
  if (!(step > 0)) {
    return [low, high];
  }
  return [
    tidy(Math.floor(low / step + 1e-6) * step),
    tidy(Math.ceil(high / step - 1e-6) * step),
  ];
}

/** Writes a number with as many digits as it takes to tell it: 0.004, 1.25, 5e-5, 12,000. */
export function plain(value, digits = 4) {
  if (value === 0) {
    return "0";
  }
  const size = Math.abs(value);
  if (size < 0.0005 || size >= 1e7) {
    const [front, ten] = value.toExponential(Math.min(2, digits - 1)).split("e");
    return `${Number(front)}e${Number(ten)}`;
  }
  return Number(value.toPrecision(digits)).toLocaleString("en", { maximumFractionDigits: 6 });
}

/** Takes out what binary fractions add: 0.30000000000000004. */
function tidy(value) {
  return Number(value.toPrecision(12));
}
