// The explorer of companion.publishing.explorers.planar: a net of two inputs and one hidden layer of ReLUs, drawn and measured here.
// `setup(root)` brings one explorer to life; `measure` and `pieces` are its mathematics and know nothing of the page.

const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
const norm = a => Math.hypot(a[0], a[1]);
const plus = (a, b, t = 1) => [a[0] + t * b[0], a[1] + t * b[1]];
const unit = a => (norm(a) > 0 ? [a[0] / norm(a), a[1] / norm(a)] : [0, 0]);

// The affine map the net is around p: each class's gradient and the constant that the biases add.
function affine(net, p) {
  const on = net.hidden.map(([u, v, b]) => u * p[0] + v * p[1] + b > 0);
  return net.out.map(row => {
    const sum = { gradient: [0, 0], constant: row[row.length - 1] };
    net.hidden.forEach(([u, v, b], h) => {
      if (!on[h]) return;
      sum.gradient = plus(sum.gradient, [u, v], row[h]);
      sum.constant += row[h] * b;
    });
    return sum;
  });
}

const score = (part, p) => dot(part.gradient, p) + part.constant;
const best = values => values.indexOf(Math.max(...values));

// What is left of a convex polygon where <n, p> + d >= 0.
function clip(polygon, n, d) {
  const kept = [];
  polygon.forEach((p, i) => {
    const q = polygon[(i + 1) % polygon.length], a = dot(n, p) + d, b = dot(n, q) + d;
    if (a >= 0) kept.push(p);
    if (a * b < 0) kept.push(plus(p, plus(q, p, -1), a / (a - b)));
  });
  return kept;
}

// The piece of the line <n, p> + d = 0 inside a convex polygon that runs anticlockwise; null if there is none.
function chord(polygon, n, d) {
  const along = [-n[1] / norm(n), n[0] / norm(n)], from = [-d * n[0] / dot(n, n), -d * n[1] / dot(n, n)];
  let low = -Infinity, high = Infinity;
  polygon.forEach((p, i) => {
    const edge = unit(plus(polygon[(i + 1) % polygon.length], p, -1)), inward = [-edge[1], edge[0]];
    const at = dot(inward, plus(from, p, -1)), speed = dot(inward, along);
    if (Math.abs(speed) < 1e-12) { if (at < -1e-9) high = -Infinity; }
    else if (speed > 0) low = Math.max(low, -at / speed);
    else high = Math.min(high, -at / speed);
  });
  return high - low > 1e-9 ? [plus(from, along, low), plus(from, along, high)] : null;
}

// The plane in pieces: cells where the net is affine, the areas of the classes, and the decision boundary between them.
function pieces(net) {
  const far = 100;
  let cells = [[[-far, -far], [far, -far], [far, far], [-far, far]]];
  net.hidden.forEach(([u, v, b]) => {
    cells = cells.flatMap(cell => [clip(cell, [u, v], b), clip(cell, [-u, -v], -b)]).filter(cell => cell.length > 2);
  });
  const areas = [], boundary = [];
  cells.forEach(cell => {
    const centre = cell.reduce((sum, p) => plus(sum, p, 1 / cell.length), [0, 0]), parts = affine(net, centre);
    // Where class i scores at least as much as all others but those left out.
    const won = (i, ...without) => parts.reduce((left, b, k) => (k === i || without.includes(k) ? left
      : clip(left, plus(parts[i].gradient, b.gradient, -1), parts[i].constant - b.constant)), cell);
    parts.forEach((a, i) => {
      const area = won(i);
      if (area.length < 3) return;
      areas.push({ label: i, polygon: area });
      parts.forEach((b, k) => {
        const n = plus(a.gradient, b.gradient, -1);
        const segment = k > i && norm(n) > 0 ? chord(won(i, k), n, a.constant - b.constant) : null;
        if (segment) boundary.push({ pair: [i, k], segment });
      });
    });
  });
  return { cells, areas, boundary };
}

function nearest([a, b], p) {
  const along = plus(b, a, -1), t = dot(plus(p, a, -1), along) / dot(along, along);
  return plus(a, along, Math.min(1, Math.max(0, t)));
}

// Everything the paper defines at x, in its letters; `plus` stands for its dagger, `rho_at` is where rho is attained.
function measure(net, x, { boundary } = pieces(net)) {
  const parts = affine(net, x), values = parts.map(part => score(part, x)), label = best(values);
  let rho = Infinity, rho_at = null;
  boundary.filter(({ pair }) => pair.includes(label)).forEach(({ segment }) => {
    const point = nearest(segment, x), distance = norm(plus(point, x, -1));
    if (distance < rho) [rho, rho_at] = [distance, point];
  });
  let rho_tilde = Infinity, rival = -1;
  parts.forEach((part, k) => {
    const slope = norm(plus(parts[label].gradient, part.gradient, -1));
    if (k !== label && slope > 0 && (values[label] - values[k]) / slope < rho_tilde)
      [rho_tilde, rival] = [(values[label] - values[k]) / slope, k];
  });
  const g = parts[label].gradient;
  const result = { label, rival, rho, rho_at, rho_tilde, g, alpha: Math.abs(dot(x, unit(g))) };
  result.affine = Math.min(...net.hidden.map(([u, v, b]) => Math.abs(u * x[0] + v * x[1] + b) / Math.hypot(u, v)));
  if (rival < 0) return result;
  const g_plus = plus(g, parts[rival].gradient, -1), beta = parts[label].constant - parts[rival].constant;
  const xi = plus(x, g_plus, beta / dot(g_plus, g_plus)), gamma = affine(net, xi)[label].gradient;
  const turn = (a, b, at) => norm(at) * norm(plus(unit(a), unit(b), -1)), shift = Math.abs(beta) / norm(g_plus);
  const alpha_plus = Math.abs(dot(x, unit(g_plus))), alpha_xi = Math.abs(dot(xi, unit(gamma)));
  return Object.assign(result, {
    g_plus, xi, gamma, alpha_plus,
    bound_2a: alpha_plus + shift,
    bound_2b: result.alpha + turn(g_plus, g, x) + shift,
    bound_3_printed: alpha_xi + turn(g_plus, g, xi),
    bound_3: alpha_xi + turn(g_plus, gamma, xi),
  });
}

function setup(root) {
  const nets = JSON.parse(root.querySelector('script').textContent);
  const svg = root.querySelector('svg'), form = root.querySelector('form');
  const sliders = [...form.querySelectorAll('[type=range]')], terms = root.querySelectorAll('dd');
  const SIZE = 400, layer = name => svg.querySelector(`[data-layer=${name}]`);
  let net, plane, x;

  const place = p => [SIZE * (p[0] - net.low) / (net.high - net.low), SIZE * (net.high - p[1]) / (net.high - net.low)];
  const fixed = values => values.map(v => v.toFixed(1)).join(' ');
  const path = points => 'M' + points.map(p => fixed(place(p))).join('L');
  const draw = (name, points, closed = false) => layer(name).setAttribute('d', points ? path(points) + (closed ? 'Z' : '') : '');
  const dotAt = (name, p) => {
    const [u, v] = place(p || [(net.low + net.high) / 2, (net.low + net.high) / 2]);
    layer(name).setAttribute('visibility', p ? 'visible' : 'hidden');
    layer(name).setAttribute('transform', `translate(${u.toFixed(1)} ${v.toFixed(1)})`);
  };
  const clipped = polygon => {
    const wide = (net.high - net.low) / 20, low = net.low - wide, high = net.high + wide;
    return [[[1, 0], -low], [[-1, 0], high], [[0, 1], -low], [[0, -1], high]].reduce((p, [n, d]) => clip(p, n, d), polygon);
  };

  function choose(k) {
    net = nets[k];
    plane = pieces(net);
    x = net.start.slice();
    root.querySelector('.note').textContent = net.note;
    layer('areas').innerHTML = plane.areas.map(({ label, polygon }) =>
      `<path d="${path(clipped(polygon))}Z" data-class="${label}"/>`).join('');
    layer('hinges').setAttribute('d', plane.cells.map(cell => path(clipped(cell)) + 'Z').join(''));
    layer('boundary').setAttribute('d', plane.boundary.map(({ segment }) => path(segment)).join(''));
    draw('unit', [[0, 0], [1, 0], [1, 1], [0, 1]], true);
    dotAt('origin', [0, 0]);
    show();
  }

  function show() {
    const m = measure(net, x, plane), scale = SIZE / (net.high - net.low), reach = 3 * (net.high - net.low);
    sliders.forEach((slider, i) => {
      slider.value = x[i];
      slider.nextElementSibling.textContent = x[i].toFixed(2);
    });
    const cell = plane.cells.find(c => inside(c, x));
    draw('cell', cell && clipped(cell), true);
    const foot = plus([0, 0], unit(m.g), dot(x, unit(m.g)));
    draw('alpha', [[0, 0], foot]);
    draw('right-angle', [foot, x]);
    draw('image', [[0, 0], x]);
    const rival = m.rival >= 0, toward = rival && unit(m.g_plus), linear = rival && plus(x, toward, -m.rho_tilde);
    draw('rho-tilde', rival && [x, linear]);
    draw('linear', rival && [plus(linear, [-toward[1], toward[0]], reach), plus(linear, [-toward[1], toward[0]], -reach)]);
    draw('rho', m.rho_at && [x, m.rho_at]);
    layer('ball').setAttribute('r', Number.isFinite(m.rho) ? (m.rho * scale).toFixed(1) : 0);
    dotAt('ball', x);
    dotAt('x', x);
    const extra = form.querySelector('[type=checkbox]').checked && rival;
    dotAt('xi', extra ? m.xi : null);
    draw('shift', extra && [x, m.xi]);
    draw('gamma', extra && [m.xi, plus(m.xi, unit(m.gamma), (net.high - net.low) / 7)]);
    draw('g', [x, plus(x, unit(m.g), (net.high - net.low) / 7)]);
    const written = v => (Number.isFinite(v) ? v.toFixed(3) : '∞');
    const judged = v => (rival ? `${written(v)} ${v >= m.rho_tilde - 1e-9 ? '≥ ρ̃, holds' : '< ρ̃, violated'}` : '–');
    const texts = [
      `${m.label + 1}`, written(m.rho), written(m.rho_tilde), written(m.affine), written(m.alpha), rival ? written(m.alpha_plus) : '–',
      judged(m.bound_2a), judged(m.bound_2b), judged(m.bound_3_printed), judged(m.bound_3),
    ];
    texts.forEach((text, i) => {
      terms[i].textContent = text;
      terms[i].classList.toggle('violated', text.endsWith('violated'));
    });
  }

  const inside = (polygon, p) => polygon.every((a, i) => {
    const edge = plus(polygon[(i + 1) % polygon.length], a, -1);
    return dot([-edge[1], edge[0]], plus(p, a, -1)) >= -1e-9;
  });

  // A click moves x anywhere; the handle can be dragged, and leaves the rest of the picture to scrolling.
  function follow(event) {
    const box = svg.getBoundingClientRect(), step = (net.high - net.low) / box.width;
    x = [net.low + step * (event.clientX - box.left), net.high - step * (event.clientY - box.top)]
      .map(v => Math.min(1, Math.max(0, Math.round(100 * v) / 100)));
    show();
  }
  const handle = layer('x');
  svg.addEventListener('click', follow);
  handle.addEventListener('pointerdown', event => handle.setPointerCapture(event.pointerId));
  handle.addEventListener('pointermove', event => { if (handle.hasPointerCapture(event.pointerId)) follow(event); });
  form.addEventListener('input', event => {
    if (event.target.type === 'radio') choose(+event.target.value);
    else { x = sliders.map(slider => +slider.value); show(); }
  });
  form.addEventListener('submit', event => event.preventDefault());
  root.querySelectorAll('[hidden]').forEach(part => part.removeAttribute('hidden'));  // an SVG has no property hidden
  root.querySelector('.still').hidden = true;
  choose(0);
}

if (typeof document === 'undefined') module.exports = { measure, pieces };
else document.querySelectorAll('.cmp-planar:not([data-ready])').forEach(root => { root.dataset.ready = ''; setup(root); });
