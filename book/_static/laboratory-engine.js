// The laboratory's engine: small nets forwards and backwards, gradients of their input, attacks. It knows nothing of the page.
// A picture, a gradient and a perturbation are Float32Arrays (channels x height x width, pixels in [0, 1]); a net is what `load` returns.
// `forward` and `backward` return arrays that the next call overwrites: copy what is to be kept.
// Attacks follow companion.attacks, step by step.
const laboratoryEngine = (() => {
  // ---- layers: {size, forward(x), backward(dy)}, the gradient of the input for a gradient of the output -------------

  // c (m x n) = a (m x k) times the transpose of b (n x k). All that costs time is here: sums stay in eight local
  // variables, and arrays come as arguments, since a browser's compiler does worse with those of a closure.
  function product(a, b, c, m, n, k) {
    for (let row = 0; row < m; row += 4) {
      const r1 = Math.min(row + 1, m - 1), r2 = Math.min(row + 2, m - 1), r3 = Math.min(row + 3, m - 1);
      for (let column = 0; column < n; column += 2) {
        const next = Math.min(column + 1, n - 1);
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
        let i0 = row * k, i1 = r1 * k, i2 = r2 * k, i3 = r3 * k, u = column * k, v = next * k;
        for (let i = 0; i < k; i++) {
          const x = b[u++], y = b[v++], w0 = a[i0++], w1 = a[i1++], w2 = a[i2++], w3 = a[i3++];
          s0 += w0 * x; s1 += w1 * x; s2 += w2 * x; s3 += w3 * x;
          t0 += w0 * y; t1 += w1 * y; t2 += w2 * y; t3 += w3 * y;
        }
        c[r3 * n + column] = s3; c[r2 * n + column] = s2; c[r1 * n + column] = s1; c[row * n + column] = s0;
        c[r3 * n + next] = t3; c[r2 * n + next] = t2; c[r1 * n + next] = t1; c[row * n + next] = t0;
      }
    }
  }

  function timesVector(a, x, y, m, k) { // y = a x
    for (let row = 0; row < m; row += 4) {
      const r1 = Math.min(row + 1, m - 1), r2 = Math.min(row + 2, m - 1), r3 = Math.min(row + 3, m - 1);
      let i0 = row * k, i1 = r1 * k, i2 = r2 * k, i3 = r3 * k, s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (let i = 0; i < k; i++) { const v = x[i]; s0 += a[i0++] * v; s1 += a[i1++] * v; s2 += a[i2++] * v; s3 += a[i3++] * v; }
      y[r3] = s3; y[r2] = s2; y[r1] = s1; y[row] = s0;
    }
  }

  function vectorTimes(d, a, dx, m, k) { // dx = d a; after a ReLU many entries of d are zero
    dx.fill(0);
    for (let row = 0; row < m; row++) {
      const w = d[row];
      if (w !== 0) for (let i = 0, at = row * k; i < k; i++, at++) dx[i] += w * a[at];
    }
  }

  function transposed(a, rows, columns, to = new Float32Array(a.length)) {
    for (let r = 0, i = 0; r < rows; r++) for (let c = 0; c < columns; c++, i++) to[c * rows + r] = a[i];
    return to;
  }

  function gather(x, from, to) { for (let i = 0; i < from.length; i++) to[i] = x[from[i]]; }
  function scatter(dy, from, to) { to.fill(0); for (let i = 0; i < from.length; i++) to[from[i]] += dy[i]; }
  function shift(y, bias, each) { for (let i = 0; i < y.length; i++) y[i] += bias[Math.floor(i / each)]; }

  function convolution({ weight, bias, shape, stride, padding }, [, height, width]) {
    const [out, channels, side] = shape, patch = channels * side * side;
    const rows = Math.floor((height + 2 * padding - side) / stride) + 1;
    const columns = Math.floor((width + 2 * padding - side) / stride) + 1, places = rows * columns;
    const outside = channels * height * width, from = new Int32Array(patch * places);
    // Which input each entry of a patch is; those beyond the edge read, and write, one more entry at the end.
    for (let r = 0, i = 0; r < rows; r++) for (let s = 0; s < columns; s++) for (let c = 0; c < channels; c++) {
      for (let a = 0; a < side; a++) for (let b = 0; b < side; b++, i++) {
        const row = r * stride + a - padding, column = s * stride + b - padding;
        const inside = row >= 0 && row < height && column >= 0 && column < width;
        from[i] = inside ? (c * height + row) * width + column : outside;
      }
    }
    const padded = new Float32Array(outside + 1), patches = new Float32Array(patch * places), turned = transposed(weight, out, patch);
    const y = new Float32Array(out * places), dyt = new Float32Array(out * places), dx = new Float32Array(outside + 1);
    const forward = x => {
      padded.set(x);
      gather(padded, from, patches);
      product(weight, patches, y, out, places, patch);
      shift(y, bias, places);
      return y;
    };
    const backward = dy => {
      product(transposed(dy, out, places, dyt), turned, patches, places, patch, out);
      scatter(patches, from, dx);
      return dx.subarray(0, outside);
    };
    return { size: [out, rows, columns], forward, backward };
  }

  function dense({ weight, bias, shape: [out, inputs] }) {
    const y = new Float32Array(out), dx = new Float32Array(inputs);
    const forward = x => { timesVector(weight, x, y, out, inputs); shift(y, bias, 1); return y; };
    const backward = dy => { vectorTimes(dy, weight, dx, out, inputs); return dx; };
    return { size: [out, 1, 1], forward, backward };
  }

  function relu(_, size) {
    const y = new Float32Array(count(size)), dx = new Float32Array(y.length);
    const forward = x => { for (let i = 0; i < y.length; i++) y[i] = x[i] > 0 ? x[i] : 0; return y; };
    const backward = dy => { for (let i = 0; i < y.length; i++) dx[i] = y[i] > 0 ? dy[i] : 0; return dx; };
    return { size, forward, backward };
  }

  function largest({ side }, [channels, height, width]) {
    const size = [channels, Math.floor(height / side), Math.floor(width / side)];
    const y = new Float32Array(count(size)), where = new Int32Array(y.length), dx = new Float32Array(channels * height * width);
    const forward = x => {
      for (let c = 0, i = 0; c < channels; c++) for (let r = 0; r < size[1]; r++) for (let s = 0; s < size[2]; s++, i++) {
        y[i] = -Infinity;
        for (let a = 0; a < side; a++) for (let b = 0; b < side; b++) {
          const at = (c * height + r * side + a) * width + s * side + b;
          if (x[at] > y[i]) { y[i] = x[at]; where[i] = at; }
        }
      }
      return y;
    };
    const backward = dy => { dx.fill(0); for (let i = 0; i < y.length; i++) dx[where[i]] += dy[i]; return dx; };
    return { size, forward, backward };
  }

  function standardised({ mean, std }, size) {
    const y = new Float32Array(count(size)), dx = new Float32Array(y.length), area = size[1] * size[2];
    const channel = i => Math.floor(i / area);
    const forward = x => { for (let i = 0; i < y.length; i++) y[i] = (x[i] - mean[channel(i)]) / std[channel(i)]; return y; };
    const backward = dy => { for (let i = 0; i < y.length; i++) dx[i] = dy[i] / std[channel(i)]; return dx; };
    return { size, forward, backward };
  }

  const LAYERS = { convolution, dense, relu, largest, standardised };
  const count = size => size.reduce((a, b) => a * b, 1);

  // ---- nets -----------------------------------------------------------------------------------------------------------

  // Every half-precision number by its 16 bits.
  const HALF = Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : fraction * 2 ** -24);
  });

  function halves(text) { // base64 of little-endian half-precision numbers
    const bytes = atob(text), values = new Float32Array(bytes.length / 2);
    for (let i = 0; i < values.length; i++) values[i] = HALF[bytes.charCodeAt(2 * i) | bytes.charCodeAt(2 * i + 1) << 8];
    return values;
  }

  // layers: as companion.publishing.explorers.laboratory writes them; size: [channels, height, width] of the picture.
  function load(layers, size) {
    const made = [];
    for (const { kind, ...settings } of layers) {
      for (const name of ['weight', 'bias', 'mean', 'std']) {
        if (typeof settings[name] === 'string') settings[name] = halves(settings[name]);
      }
      made.push(LAYERS[kind](settings, made.length ? made.at(-1).size : size));
    }
    return {
      size, classes: count(made.at(-1).size),
      forward: x => made.reduce((y, layer) => layer.forward(y), x),
      backward: dz => made.reduceRight((dy, layer) => layer.backward(dy), dz), // after `forward` of the same picture
    };
  }

  // The net with logits factor * z + <pattern, x>, the same sum for every class: neither changes a decision.
  function altered(net, factor, pattern = null) {
    const z = new Float32Array(net.classes), dz = new Float32Array(net.classes), dx = new Float32Array(count(net.size));
    const forward = x => {
      const same = pattern ? pattern.reduce((sum, w, i) => sum + w * x[i], 0) : 0;
      net.forward(x).forEach((value, k) => { z[k] = factor * value + same; });
      return z;
    };
    const backward = d => {
      d.forEach((value, k) => { dz[k] = factor * value; });
      dx.set(net.backward(dz));
      const sum = d.reduce((a, b) => a + b, 0);
      if (pattern && sum) for (let i = 0; i < dx.length; i++) dx[i] += sum * pattern[i];
      return dx;
    };
    return factor === 1 && !pattern ? net : { ...net, forward, backward };
  }

  // ---- what is differentiated: [value, its gradient in the logits] ------------------------------------------------

  const best = z => z.indexOf(Math.max(...z));
  const rival = (z, label) => best([...z].map((value, k) => (k === label ? -Infinity : value)));
  const one = (z, label, value = 1) => { const d = new Float32Array(z.length); d[label] = value; return d; };

  function probabilities(z) {
    const top = Math.max(...z), e = [...z].map(value => Math.exp(value - top)), sum = e.reduce((a, b) => a + b, 0);
    return e.map(value => value / sum);
  }

  const OUTPUTS = {
    logit: (z, label) => [z[label], one(z, label)],
    centred: (z, label) => {
      const mean = z.reduce((a, b) => a + b, 0) / z.length;
      return [z[label] - mean, one(z, label).map(value => value - 1 / z.length)];
    },
    lead: (z, label) => {
      const other = rival(z, label), d = one(z, label);
      d[other] = -1;
      return [z[label] - z[other], d];
    },
    margin: (z, label) => { const [value, d] = OUTPUTS.lead(z, label); return [-value, d.map(v => -v)]; },
    cross_entropy: (z, label) => {
      const top = Math.max(...z), p = probabilities(z), d = Float32Array.from(p);
      d[label] = -p.reduce((sum, value, k) => (k === label ? sum : sum + value), 0); // p - 1 would lose its digits near 1
      return [Math.log(z.reduce((sum, value) => sum + Math.exp(value - top), 0)) + top - z[label], d];
    },
  };

  // {value, gradient, logits}, all copies
  function differentiate(net, x, label, of = 'logit') {
    const logits = Float32Array.from(net.forward(x)), [value, d] = OUTPUTS[of](logits, label);
    return { value, logits, gradient: Float32Array.from(net.backward(d)) };
  }

  const lead = (z, label) => OUTPUTS.lead(z, label)[0];

  // ---- noise --------------------------------------------------------------------------------------------------------

  function random(seed) { // mulberry32: uniform in [0, 1), and standard normal numbers
    let state = seed >>> 0;
    const uniform = () => {
      state = state + 0x6D2B79F5 >>> 0;
      let t = Math.imul(state ^ state >>> 15, 1 | state);
      t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
      return ((t ^ t >>> 14) >>> 0) / 4294967296;
    };
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal };
  }

  // The sum of gradients at x + sigma * noise, one more for each call of next(noise); `mean` is SmoothGrad.
  function smoothgrad(net, x, label, sigma, of = 'logit') {
    const sum = new Float32Array(x.length), noisy = new Float32Array(x.length);
    let samples = 0;
    return {
      next(noise) {
        for (let i = 0; i < x.length; i++) noisy[i] = x[i] + sigma * noise[i];
        const { gradient } = differentiate(net, noisy, label, of);
        for (let i = 0; i < x.length; i++) sum[i] += gradient[i];
        samples += 1;
      },
      mean: () => sum.map(value => value / samples),
    };
  }

  // ---- attacks ------------------------------------------------------------------------------------------------------

  const l2 = v => Math.sqrt(v.reduce((sum, value) => sum + value * value, 0));
  const linf = v => v.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
  const size = (v, norm) => (norm === 'l2' ? l2(v) : linf(v));
  const clamped = (v, low, high) => Math.min(high, Math.max(low, v));

  function project(delta, norm, eps) {
    if (norm === 'linf') return delta.map(v => clamped(v, -eps, eps));
    const length = l2(delta);
    return length > eps ? delta.map(v => v * eps / length) : delta;
  }

  function steepest(gradient, norm, floor) {
    if (norm === 'linf') return gradient.map(Math.sign);
    const top = linf(gradient) || 1, scaled = gradient.map(v => v / top); // squares of tiny numbers would vanish
    const length = Math.max(l2(scaled), floor / top) || 1;
    return scaled.map(v => v / length);
  }

  // The random starts of the package: "ball", "image" (IR's code) and "none". x + start stays within [0, 1].
  function start(x, { norm, eps, start: where }, draw) {
    let delta = new Float32Array(x.length);
    if (where === 'image' && norm === 'l2') delta = project(x.map(v => draw.uniform() - v), norm, eps);
    else if (where !== 'none' && norm === 'linf') delta = delta.map(() => eps * (2 * draw.uniform() - 1));
    else if (where !== 'none') {
      delta = delta.map(() => draw.normal());
      const length = l2(delta), radius = eps * draw.uniform() ** (1 / x.length);
      delta = delta.map(v => v / length * radius);
    }
    return x.map((v, i) => clamped(v + delta[i], 0, 1));
  }

  // Noise on the sphere of radius eps: in linf a random sign for each pixel. x + noise is clipped to [0, 1].
  function noisy(x, { norm, eps }, draw) {
    const noise = x.map(() => draw.normal()), length = l2(noise);
    return x.map((v, i) => clamped(v + eps * (norm === 'l2' ? noise[i] / length : Math.sign(noise[i])), 0, 1));
  }

  // One step of projected gradient descent from `current`, step k of `steps`: {next, logits} (the logits at `current`).
  // attack: norm, eps, steps, step (its length; null: falls from 2 eps to 0), loss, protocol ("strong" or "ir_paper").
  function step(net, x, current, label, attack, k) {
    const { norm, eps, steps, protocol } = attack, paper = protocol === 'ir_paper';
    const { gradient, logits } = differentiate(net, current, label, attack.loss);
    const length = attack.step ?? 2 * eps * (1 - k / steps);
    // IR's code averages the loss over a batch of 50 and divides by at least 1e-6 (IR-E5)
    const direction = steepest(paper ? gradient.map(v => v / 50) : gradient, norm, paper ? 1e-6 : 0);
    const delta = current.map((v, i) => v - x[i] + length * direction[i]);
    const boxed = d => x.map((v, i) => clamped(v + d[i], 0, 1));
    if (!paper) return { next: boxed(project(delta, norm, eps)), logits };
    const inside = project(boxed(delta).map((v, i) => v - x[i]), norm, eps);
    return { next: x.map((v, i) => v + inside[i]), logits };
  }

  // The smallest radius at which an attack succeeds, by bisection; a generator that yields after each step
  // {low, high, image}: not broken at low, broken at high by `image` (Infinity and null so far). The strong protocol, margin loss.
  function* smallest(net, x, label, { norm, steps, largest: most, seed }) {
    if (best(net.forward(x)) !== label) return { low: 0, high: 0, image: x };
    const draw = random(seed);
    let low = 0, high = Infinity, image = null, eps = norm === 'l2' ? most / 8 : most / 16;
    while (low < most && (high === Infinity || high - low > 0.02 * high)) {
      const attack = { norm, eps, steps, step: null, loss: 'margin', protocol: 'strong', start: 'ball' };
      let current = start(x, attack, draw), broken = false;
      for (let k = 0; k <= steps && !broken; k++) {
        const { next, logits } = step(net, x, current, label, attack, k);
        broken = best(logits) !== label;
        if (!broken && k < steps) current = next;
        yield { low, high, image, eps };
      }
      if (broken) { // what it used may be less than it was allowed
        image = current;
        high = Math.min(high, size(current.map((v, i) => v - x[i]), norm));
        if (low > high) low = 0;
      } else low = eps;
      eps = high === Infinity ? Math.min(2 * eps, most) : (low + high) / 2;
    }
    return { low, high, image };
  }

  return { load, altered, differentiate, probabilities, best, lead, random, smoothgrad, start, noisy, step, smallest, size };
})();
