// The laboratory's page: what a reader draws, chooses and sees. The mathematics is in laboratory-engine.js, nets and pictures are in
// laboratory-nets.js, written by a run. Everything a reader can choose is in `state`, and `state` is in the address (after the #).
(() => {
  const root = document.querySelector('.cmp-lab');
  if (!root || typeof laboratoryNets === 'undefined') return;
  const engine = laboratoryEngine, given = laboratoryNets;
  const side = given.side, pixels = side * side, SAMPLES = 20, RACE_STEPS = 20;
  const stored = Uint8Array.from(atob(given.pictures), c => c.charCodeAt(0));
  const pictures = given.labels.map((label, i) => ({ label, values: stored.slice(i * pixels, (i + 1) * pixels) }));
  const loaded = given.nets.map(net => engine.load(net.layers, [1, side, side]));
  const classes = loaded[0].classes;

  // ---- what can be chosen -------------------------------------------------------------------------------------------

  const RADIUS = { l2: { high: 4, step: 0.05, usual: 1.5 }, linf: { high: 0.5, step: 0.01, usual: 0.1 } };
  const CHOICES = { // of each name the values and what the page calls them; the first is the usual one
    of: {
      logit: 'its logit', centred: 'its logit minus the mean of all', lead: 'its lead over the runner-up',
      cross_entropy: 'the cross-entropy',
    },
    factor: { 1: 'as trained', 2: '× 2', 4: '× 4', 10: '× 10' },
    same: { none: 'nothing', picture: 'another digit' },
    from: { pgd: 'PGD on this picture', other: 'PGD on another picture', noise: 'noise of the same size' },
    norm: { l2: 'ℓ₂', linf: 'ℓ∞' },
    loss: { margin: 'margin', cross_entropy: 'cross-entropy' },
    step: { falling: 'falling from 2ε to 0', 1: 'ε', 0.333: 'ε/3', 0.1: 'ε/10', 0.01: 'ε/100' },
    start: { ball: 'at random in the ball', image: 'a random image', none: 'the picture itself' },
    protocol: { strong: 'strong', ir_paper: "the IR paper's" },
  };
  const NUMBERS = { // low, high, step, usual
    sigma: [0, 0.5, 0.01, 0.15], steps: [1, 100, 1, 40], seed: [0, 9999, 1, 0],
  };
  const PRESETS = { // by the place of this page that explains it
    'lab-scale': ['Scale the logits by ten', { factor: '10', loss: 'cross_entropy', protocol: 'ir_paper', step: '0.333', start: 'image' }],
    'lab-start': ['No random start', { start: 'none', loss: 'cross_entropy' }],
    'lab-steps': ['Too few steps', { steps: 3, step: '0.1' }],
    'lab-other': ['Another picture', { from: 'other' }],
    'lab-noise': ['Noise of the same size', { from: 'noise' }],
    'lab-same': ['The same sum on every logit', { same: 'picture' }],
  };
  const usual = () => ({
    ...Object.fromEntries(Object.entries(CHOICES).map(([name, values]) => [name, USUAL[name] ?? Object.keys(values)[0]])),
    ...Object.fromEntries(Object.entries(NUMBERS).map(([name, [, , , value]]) => [name, value])),
    eps: RADIUS.l2.usual, label: null,
  });
  const USUAL = { factor: '1', step: 'falling' }; // of those whose values are numbers, which objects keep in another order

  let state = usual(), picture = Uint8Array.from(pictures[0].values), shownPicture = 0, warnings = [];

  // ---- the state in the address ---------------------------------------------------------------------------------

  // Runs of zeros as 0 and their length; base64 that an address can hold.
  function packed(values) {
    const bytes = [];
    for (let i = 0; i < values.length; i++) {
      bytes.push(values[i]);
      if (values[i] > 0) continue;
      let run = 1;
      while (run < 255 && values[i + run] === 0) run++;
      bytes.push(run);
      i += run - 1;
    }
    return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  }

  function unpacked(text) {
    const values = [], bytes = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    for (let i = 0; i < bytes.length; i++) {
      const value = bytes.charCodeAt(i);
      if (value > 0) values.push(value);
      else values.push(...new Uint8Array(bytes.charCodeAt(++i) || 1));
    }
    if (values.length !== pixels) throw new RangeError(`${values.length} pixels`);
    return Uint8Array.from(values);
  }

  function address() {
    const standard = { ...usual(), eps: RADIUS[state.norm].usual }, parts = new URLSearchParams();
    if (shownPicture === null) parts.set('drawn', packed(picture));
    else parts.set('picture', shownPicture);
    Object.entries(state).forEach(([name, value]) => { if (value !== standard[name]) parts.set(name, value); });
    return parts.size === 1 && shownPicture === 0 ? location.href.split('#')[0] : `#${parts}`;
  }

  // The state of an address; whatever cannot be used is left at its usual value, and a sentence says so.
  function read(text) {
    const preset = PRESETS[text.slice(1)];
    warnings = [];
    state = { ...usual(), ...preset?.[1] };
    if (preset || !text.includes('=')) return;
    const parts = new URLSearchParams(text.slice(1));
    const refuse = (name, expected) => warnings.push(
      `The link says ${name}=${parts.get(name).slice(0, 20) || 'nothing'}; expected ${expected}. The usual value is used.`);
    const number = (name, low, high, whole = false) => {
      const value = parts.get(name), found = Number(value);
      if (value.trim() !== '' && found >= low && found <= high && (!whole || Number.isInteger(found))) return found;
      refuse(name, `a ${whole ? 'whole ' : ''}number from ${low} to ${high}`);
      return null;
    };
    Object.entries(CHOICES).forEach(([name, values]) => {
      if (!parts.has(name)) return;
      if (Object.hasOwn(values, parts.get(name))) state[name] = parts.get(name);
      else refuse(name, `one of ${Object.keys(values).join(', ')}`);
    });
    state.eps = RADIUS[state.norm].usual;
    const limits = { ...NUMBERS, eps: [0, RADIUS[state.norm].high, 0.001], label: [0, classes - 1, 1] };
    Object.entries(limits).forEach(([name, [low, high, step]]) => {
      if (parts.has(name)) state[name] = number(name, low, high, step === 1) ?? state[name];
    });
    if (parts.has('picture')) choosePicture(number('picture', 0, pictures.length - 1, true) ?? 0);
    if (parts.has('drawn')) {
      try { picture = unpacked(parts.get('drawn')); shownPicture = null; } catch { refuse('drawn', `a drawing of ${pixels} pixels`); }
    }
    const known = [...Object.keys(state), 'picture', 'drawn'];
    [...parts.keys()].filter(name => !known.includes(name)).forEach(name => {
      warnings.push(`The link names “${name.slice(0, 20)}”, which the laboratory does not know.`);
    });
  }

  function choosePicture(i) { shownPicture = i; picture = Uint8Array.from(pictures[i].values); }

  // ---- the page ---------------------------------------------------------------------------------------------------

  const escape = text => String(text).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);
  const map = (name, what) => `<figure><canvas class="${name}" width="${side}" height="${side}" role="img" aria-label="${what}">
    </canvas><figcaption>${what}<span></span></figcaption></figure>`;
  const option = (name, value) => `<option value="${value}">${CHOICES[name][value]}</option>`;
  const select = (name, what) => {
    const values = Object.keys(CHOICES[name]).sort((a, b) => (b === USUAL[name]) - (a === USUAL[name]));
    return `<label>${what}<select name="${name}">${values.map(value => option(name, value)).join('')}</select></label>`;
  };
  const slider = (name, what, [low, high, step]) => `<label>${what}<span class="range">
    <input type="range" name="${name}" min="${low}" max="${high}" step="${step}"><output></output></span></label>`;
  const radio = (name, [value, text]) => `<label><input type="radio" name="${name}" value="${value}"><span>${text}</span></label>`;
  const radios = (name, what, values, kind = '') => `<fieldset class="chips ${kind}"><legend>${what}</legend>
    ${values.map(value => radio(name, value)).join('')}</fieldset>`;
  const button = (data, value, text, more = '') => `<button type="button" data-${data}="${value}" ${more}>${text}</button>`;
  const coloured = (tag, net, content) => `<${tag} style="--net: ${escape(net.colour)}">${content}</${tag}>`;
  const nets = content => given.nets.map(net => coloured('article', net,
    `<header><b>${escape(net.name)}</b><output></output></header>${content}`)).join('');
  const dashed = n => (given.nets.findIndex(net => net.colour === given.nets[n].colour) < n ? 'dashed' : ''); // the second of one colour
  const sample = (kind, name) => `<svg viewBox="0 0 24 8"><path class="${kind}" d="M0 4H24"/></svg>${name}`;
  const digits = [...Array(classes).keys()];

  const presets = Object.entries(PRESETS).map(([id, [name]]) => button('preset', id, name)).join('');
  const arrows = [['←', '-1 0', 'left'], ['↑', '0 -1', 'up'], ['↓', '0 1', 'down'], ['→', '1 0', 'right']];
  const thumbnails = digits.map(k => button('class', k, `<canvas width="${side}" height="${side}"></canvas>`,
    `aria-label="A test picture of class ${k}; again for the next one"`)).join('');
  const legend = given.nets.map((net, n) => coloured('span', net, sample(`run ${dashed(n)}`, escape(net.name)))).join('');
  const tracks = given.nets.map(net => coloured('div', net, `<b>${escape(net.name)}</b><span class="track"><i></i></span><output></output>
    <canvas width="${side}" height="${side}" role="img" aria-label="The picture at the smallest radius"></canvas>`)).join('');

  root.innerHTML = `
    <div class="presets" role="group" aria-label="Presets"><span>Try</span>${presets}${button('preset', '', 'Start over', 'class="plain"')}</div>
    <div class="note" aria-live="polite"></div>
    <form class="lab" autocomplete="off">
      <h2>Draw</h2>
      <div class="left">
        <div class="paper"><canvas width="${side}" height="${side}" tabindex="0" role="application"
          aria-label="The picture, ${side} by ${side} pixels. Draw with a finger, a pen or the mouse.
          With the keyboard: arrow keys move the cursor, space draws, x erases."></canvas><i></i></div>
        <div class="tools">${radios('tool', 'tool', [['draw', 'draw'], ['erase', 'erase']], 'bare')}
          <span class="arrows" role="group" aria-label="Shift the picture">
            ${arrows.map(([sign, by, way]) => button('shift', by, sign, `aria-label="Shift ${way} by a pixel"`)).join('')}</span>
          ${button('do', 'clear', 'clear')}</div>
        <div class="pictures" role="group" aria-label="Test pictures">${thumbnails}</div>
        ${radios('label', 'class asked about', [['auto', 'auto'], ...digits.map(k => [k, k])], 'classes')}
      </div>
      <div class="right">
        <div class="options">${select('of', 'gradient of')}${slider('sigma', 'SmoothGrad noise', NUMBERS.sigma)}
          ${select('factor', 'logits')}${select('same', 'added to every logit')}</div>
        <div class="nets scores">${nets(`<svg class="bars" viewBox="0 0 200 56" role="img"></svg>
          <div class="maps">${map('gradient', 'gradient')}${map('smooth', 'SmoothGrad')}</div>`)}</div>
        <p class="key"><i></i><span>Red: the value rises with the pixel. Blue: it falls. White: no change.
          Each map ± its largest value.</span></p>
      </div>
      <h2>Attack</h2>
      <div class="left attack">
        ${select('from', 'perturbation')}${radios('norm', 'norm', Object.entries(CHOICES.norm))}
        ${slider('eps', 'radius ε', [0, RADIUS.l2.high, RADIUS.l2.step])}${slider('steps', 'steps', NUMBERS.steps)}
        ${select('loss', 'loss')}${select('step', 'step size')}${select('start', 'start')}${select('protocol', 'protocol')}
        <div class="buttons">${button('do', 'play', 'play', 'class="main"')}${button('do', 'step', 'step')}${button('do', 'run', 'run')}
          ${button('do', 'rewind', 'rewind')}${button('do', 'seed', 'new random numbers')}</div>
      </div>
      <div class="right">
        <div class="nets attacked">${nets(`<div class="maps">${map('point', 'attacked')}${map('delta', 'perturbation')}</div>`)}</div>
        <figure class="chart"><figcaption>Lead of the class asked about over the next one, in logits before any factor, after each
          step</figcaption><div class="legend">${legend}
          <span class="earlier" hidden>${sample('former', 'the same nets under the usual settings')}</span></div><svg role="img"></svg></figure>
      </div>
      <h2>Race</h2>
      <div class="race"><p>${button('do', 'race', 'start the race', 'class="main"')}<span>How far must the picture move, in the norm
        above, before each net changes its mind? Bisection over the radius; ${RACE_STEPS} steps of the strong protocol, margin loss,
        each. An upper bound: a better attack may need less.</span></p><div class="tracks">${tracks}</div></div>
    </form>
    <p class="foot">${button('do', 'link', 'copy the link to this situation')}
      <input readonly hidden aria-label="Link to this situation"><span>${escape(given.about)}</span></p>`;

  const find = query => root.querySelector(query), all = query => [...root.querySelectorAll(query)];
  const form = find('form'), paper = find('.paper canvas'), cursor = find('.paper i');
  form.elements.tool.value = 'draw';

  const number = (value, digitsShown = 2) => (Math.abs(value) >= 1000 || (value && Math.abs(value) < 0.01)
    ? value.toExponential(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : digitsShown)).replace('-', '−');

  // matplotlib's RdBu_r, as in all maps of the book
  const STOPS = [[5, 48, 97], [33, 102, 172], [67, 147, 195], [146, 197, 222], [209, 229, 240], [247, 247, 247],
    [253, 219, 199], [244, 165, 130], [214, 96, 77], [178, 24, 43], [103, 0, 31]];
  function signedColour(t) { // t in [-1, 1]
    const at = (t + 1) * 5, low = Math.min(9, Math.floor(at)), share = at - low;
    return STOPS[low].map((v, c) => v + share * (STOPS[low + 1][c] - v));
  }

  function paint(canvas, values, limit = null) {
    const image = new ImageData(side, side);
    for (let i = 0; i < pixels; i++) {
      const [r, g, b] = limit === null ? Array(3).fill(255 * values[i]) : signedColour(limit ? values[i] / limit : 0);
      image.data.set([r, g, b, 255], 4 * i);
    }
    canvas.getContext('2d').putImageData(image, 0, 0);
  }

  function paintMap(canvas, values) {
    const limit = engine.size(values, 'linf');
    paint(canvas, values, limit);
    canvas.nextElementSibling.lastElementChild.textContent = limit > 0 ? `± ${number(limit)}` : 'zero everywhere';
  }

  // ---- what the state amounts to ------------------------------------------------------------------------------------

  let x = new Float32Array(pixels), label = 0, live = loaded;

  function sumPattern() {
    const other = pictures.find(p => p.label === (label === 3 ? 8 : 3)) ?? pictures[0];
    const length = Math.sqrt(other.values.reduce((sum, v) => sum + v * v, 0)) || 1;
    return Float32Array.from(other.values, v => 5 * v / length);
  }

  function prepare() {
    x = Float32Array.from(picture, v => v / 255);
    if (state.label !== null) label = state.label;
    else if (shownPicture !== null) label = pictures[shownPicture].label;
    else {
      const votes = Array(classes).fill(0);
      loaded.forEach(net => { votes[engine.best(net.forward(x))] += 1; });
      label = engine.best(votes);
    }
    const pattern = state.same === 'picture' ? sumPattern() : null;
    live = loaded.map(net => engine.altered(net, Number(state.factor), pattern));
  }

  // ---- jobs: generators that yield every few milliseconds, so that the page answers meanwhile --------------------

  const jobs = {};
  let frame = null;
  function begin(name, job) {
    if (job) jobs[name] = job; else delete jobs[name];
    root.ariaBusy = 'true';
    frame ??= requestAnimationFrame(work);
  }
  function work() {
    frame = null;
    const end = performance.now() + 14;
    for (let names = Object.keys(jobs); names.length && performance.now() < end; names = Object.keys(jobs)) {
      names.forEach(name => { if (jobs[name].next().done) delete jobs[name]; });
    }
    drawing.forEach(draw => draw());
    drawing.clear();
    if (Object.keys(jobs).length) frame ??= requestAnimationFrame(work);
    root.ariaBusy = String(frame !== null);
  }
  const drawing = new Set(); // what has to be drawn at the end of this frame
  function soon(draw) { drawing.add(draw); begin('nothing', null); }

  // ---- draw: scores and gradients ----------------------------------------------------------------------------------

  function gradients() {
    all('.scores article').forEach((card, n) => {
      const { logits, gradient } = engine.differentiate(live[n], x, label, state.of), decision = engine.best(logits);
      paintMap(card.querySelector('.gradient'), gradient);
      const share = engine.probabilities(logits)[decision];
      card.querySelector('header output').innerHTML = `<b>${decision}</b> ${share > 0.9995 ? '>99.9' : (100 * share).toFixed(1)} %`;
      card.classList.toggle('wrong', decision !== label);
      bars(card.querySelector('.bars'), logits, decision);
    });
  }

  function bars(svg, logits, decision) {
    const high = Math.max(0, ...logits), low = Math.min(0, ...logits), unit = 40 / (high - low || 1), zero = 2 + high * unit;
    const bar = (z, k) => `<g class="${k === label ? 'asked' : ''} ${k === decision ? 'decided' : ''}">
      <rect x="${k * 20 + 3}" y="${z > 0 ? zero - z * unit : zero}" width="14" height="${Math.max(0.5, Math.abs(z) * unit)}"/>
      <text x="${k * 20 + 10}" y="55">${k}</text></g>`;
    svg.innerHTML = `<path d="M0 ${zero}H200" class="axis"/>${[...logits].map(bar).join('')}`;
    svg.setAttribute('aria-label', `Logits: ${[...logits].map((z, k) => `${k}: ${number(z)}`).join(', ')}`);
  }

  function* smoothing() {
    const draw = engine.random(state.seed), canvases = all('.smooth');
    const sums = live.map(net => engine.smoothgrad(net, x, label, state.sigma, state.of));
    const show = () => sums.forEach((sum, n) => paintMap(canvases[n], sum.mean()));
    for (let i = 0; i < SAMPLES; i++) {
      const noise = Float32Array.from(x, () => draw.normal()); // the same for every net
      for (const sum of sums) { sum.next(noise); yield; }
      if (i % 3 === 1 || i === SAMPLES - 1) drawing.add(show);
    }
  }

  // ---- attack -----------------------------------------------------------------------------------------------------

  // A trial is an attack of every net under some settings. The reference is the one under the usual settings, in the same ball.
  let trial = null, reference = null, timer = null;

  function donor() { // another test picture of the class asked about, or just another one
    const others = pictures.filter((_, i) => i !== shownPicture);
    const chosen = others.find(p => p.label === label) ?? others[0];
    return { values: Float32Array.from(chosen.values, v => v / 255), label: chosen.label };
  }

  function begun(settings, nets) {
    const share = { falling: NaN, 0.333: 1 / 3 }[settings.step] ?? Number(settings.step);
    const exact = { ...settings, step: Number.isNaN(share) ? null : share * settings.eps };
    const other = settings.from === 'other' ? donor() : { values: x, label };
    const runs = nets.map(net => {
      const draw = engine.random(settings.seed);
      const run = { net, draw, from: other.values, label: other.label, leads: [], wrong: [], decision: engine.best(net.forward(x)) };
      run.clean = run.decision;
      run.point = settings.from === 'noise' ? x : engine.start(other.values, exact, draw);
      return run;
    });
    runs.forEach(run => asked(run, settings));
    return { settings: exact, runs, k: 0 };
  }

  // What the net says of the picture at this point of the attack.
  function asked(run, settings) {
    const { point, from } = run;
    run.shown = settings.from === 'other' ? x.map((v, i) => Math.min(1, Math.max(0, v + point[i] - from[i]))) : point;
    const z = run.net.forward(run.shown);
    run.decision = engine.best(z);
    run.leads.push(engine.lead(z, label) / Number(settings.factor));
    run.wrong.push(run.decision !== label);
  }

  function advance(run, settings, k) {
    run.point = settings.from === 'noise' ? engine.noisy(x, settings, run.draw)
      : engine.step(run.net, run.from, run.point, run.label, settings, k).next;
    asked(run, settings);
  }

  function* attacking(of, last) {
    while (of.k < last) {
      for (const run of of.runs) { advance(run, of.settings, of.k); yield; }
      of.k += 1;
      drawing.add(showAttack);
    }
  }

  const ended = () => !trial || trial.k >= state.steps;

  function verdict({ clean, wrong, decision }) {
    if (clean !== label) return `wrong before: ${clean}`;
    const at = state.protocol === 'strong' ? wrong.indexOf(true) : wrong.at(-1) ? wrong.length - 1 : -1;
    if (at < 0) return `still ${label}`;
    return decision === label ? `not ${label} at step ${at}` : `${label} → ${decision}, at step ${at}`;
  }

  function showAttack() {
    if (!trial) return;
    const cards = all('.attacked article');
    trial.runs.forEach((run, n) => {
      paint(cards[n].querySelector('.point'), run.shown);
      paintMap(cards[n].querySelector('.delta'), run.shown.map((v, i) => v - x[i]));
      const text = verdict(run);
      cards[n].querySelector('header output').textContent = text;
      cards[n].classList.toggle('wrong', !text.startsWith('still'));
    });
    chart();
  }

  function chart() {
    const svg = find('.chart > svg'), { runs, k } = trial, former = reference?.runs ?? [];
    const width = Math.max(260, svg.clientWidth || 600), height = 240, [left, right, top, bottom] = [34, width - 10, 8, height - 26];
    const steps = Math.max(state.steps, reference?.settings.steps ?? 0), values = [...runs, ...former].flatMap(run => run.leads);
    const high = Math.max(1, ...values) * 1.05, low = Math.min(-1, ...values) * 1.3; // with room for a word below the curves
    const px = i => left + i / steps * (right - left), py = v => top + (high - v) / (high - low) * (bottom - top);
    const line = (run, n, kind) => `<path class="${kind}" style="--net: ${given.nets[n].colour}"
      d="M${run.leads.map((v, i) => `${px(i).toFixed(1)} ${py(v).toFixed(1)}`).join('L')}"/>`;
    const marks = (from, to) => { // round numbers, about five
      const rough = (to - from) / 5, base = 10 ** Math.floor(Math.log10(rough)), by = base * [1, 2, 5, 10].find(m => m * base >= rough);
      return Array.from({ length: Math.floor(to / by) - Math.ceil(from / by) + 1 }, (_, i) => (Math.ceil(from / by) + i) * by);
    };
    const level = v => `<path class="grid" d="M${left} ${py(v)}H${right}"/>
      <text x="${left - 6}" y="${py(v) + 4}" class="end">${String(Number(v.toFixed(2))).replace('-', '−')}</text>`;
    const time = v => `<text x="${px(v)}" y="${height - 8}" class="middle">${v || 'step 0'}</text>`;
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.innerHTML = `<rect class="lost" x="${left}" y="${py(0)}" width="${right - left}" height="${bottom - py(0)}"/>
      ${marks(low, high).map(level).join('')}${marks(0, steps).filter(Number.isInteger).map(time).join('')}
      <path class="zero" d="M${left} ${py(0)}H${right}"/><text x="${left + 8}" y="${bottom - 8}">misclassified</text>
      ${former.map((run, n) => line(run, n, 'former')).join('')}${runs.map((run, n) => line(run, n, `run ${dashed(n)}`)).join('')}
      ${runs.map((run, n) => `<circle cx="${px(k)}" cy="${py(run.leads[k])}" r="3.5" style="--net: ${given.nets[n].colour}"/>`).join('')}`;
    const said = runs.map((run, n) => `${given.nets[n].name} ${number(run.leads[k])}`).join(', ');
    svg.setAttribute('aria-label', `Lead after step ${k}: ${said}`);
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    find('[data-do=play]').textContent = 'play';
  }

  function play() {
    if (timer !== null) return stop();
    if (ended()) restart();
    find('[data-do=play]').textContent = 'pause';
    timer = setInterval(() => {
      begin('attack', attacking(trial, Math.min(state.steps, trial.k + 1)));
      if (trial.k + 1 >= state.steps) stop();
    }, 140);
  }

  function restart() {
    begin('attack', null);
    trial = begun(state, live);
    showAttack();
  }

  // ---- race -------------------------------------------------------------------------------------------------------

  let found = null;

  function* racing() {
    const settings = { norm: state.norm, steps: RACE_STEPS, largest: 2 * RADIUS[state.norm].high, seed: state.seed };
    const left = live.map((net, n) => [n, engine.smallest(net, x, label, settings)]);
    found = live.map(() => ({ low: 0, high: Infinity, image: null, eps: 0 }));
    while (left.length) {
      for (const entry of [...left]) {
        const [n, search] = entry, { value, done } = search.next();
        found[n] = { ...value, done };
        if (done) left.splice(left.indexOf(entry), 1);
        yield;
      }
      drawing.add(showRace);
    }
  }

  function showRace() {
    const reach = found ? Math.max(...found.map(f => (f.high < Infinity ? f.high : Math.max(f.low, f.eps ?? 0)))) * 1.02 || 1 : 1;
    find('.tracks').hidden = !found;
    find('[data-do=race]').textContent = jobs.race ? 'racing …' : 'start the race';
    all('.tracks > div').forEach((row, n) => {
      const { low, high, image, done } = found?.[n] ?? { low: 0, high: 0 }, bar = row.querySelector('.track i');
      const end = Math.min(high, reach);
      bar.style.left = done ? 0 : `${100 * low / reach}%`;
      bar.style.width = `${100 * (done ? end : end - low) / reach}%`;
      row.classList.toggle('done', Boolean(done));
      row.querySelector('output').textContent = !found ? '' : high === Infinity ? `> ${number(low)}`
        : done ? (high ? number(high, 3) : 'wrong already') : `${number(low)} to ${number(high)}`;
      paint(row.querySelector('canvas'), image ?? x);
    });
  }

  // ---- from a change to the page --------------------------------------------------------------------------------

  let pressed = false; // while a stroke is under way only the gradients follow

  function saveAddress() {
    try { history.replaceState(null, '', address()); } catch { /* an address that may not change is no harm */ }
  }

  function said() {
    const top = Math.max(...picture), bottom = Math.min(...picture);
    if (top === 0) warnings.push('The picture is empty. The nets answer all the same: draw a digit, or take a test picture.');
    else if (bottom === 255) {
      warnings.push('The picture is white all over. The nets answer all the same: erase something, or take a test picture.');
    }
    if (state.eps === 0) warnings.push('Radius 0 allows no change, so no attack can succeed.');
    if (state.sigma === 0) warnings.push('Without noise SmoothGrad is the gradient.');
    if (state.norm === 'linf' && state.start === 'image') {
      warnings.push('In ℓ∞ “a random image” is the same start as “at random in the ball”.');
    }
  }

  function explain(preset) {
    const place = document.getElementById(preset), section = place?.closest('section');
    const text = section?.querySelector('p')?.innerHTML;
    const shown = text ? `<p><b>${PRESETS[preset][0]}.</b> ${text}</p>` : '';
    find('.note').innerHTML = shown + (warnings.length ? `<p class="warning">${warnings.map(escape).join('<br>')}</p>` : '');
  }

  let preset = '';

  function update() {
    prepare();
    gradients();
    fill();
    if (pressed) { begin('smooth', null); return; }
    stop();
    said();
    explain(preset);
    warnings = [];
    begin('smooth', smoothing());
    begin('race', null);
    found = null;
    showRace();
    trial = reference = null;
    begin('attack', (function* () {
      trial = begun(state, live);
      yield;
      yield* attacking(trial, state.steps);
    })());
    const { norm, eps, seed, of, sigma, label: asked } = state, standard = { ...usual(), norm, eps, seed, of, sigma, label: asked };
    const differs = Object.keys(standard).some(name => standard[name] !== state[name]);
    find('.earlier').hidden = !differs;
    begin('reference', differs && (function* () {
      reference = begun(standard, loaded);
      yield* attacking(reference, standard.steps);
    })());
    saveAddress();
  }

  function fill() { // the controls from the state
    Object.entries(state).forEach(([name, value]) => {
      const control = form.elements[name];
      if (!control || name === 'label') return;
      if (name === 'eps') { control.max = RADIUS[state.norm].high; control.step = RADIUS[state.norm].step; }
      control.value = value;
      if (control.type === 'range') control.nextElementSibling.textContent = value;
    });
    form.elements.label.value = state.label ?? 'auto';
    all('.classes label').forEach(chip => chip.classList.toggle('asked', chip.querySelector('input').value === String(label)));
    all('.pictures button').forEach(button => {
      const mine = shownPicture !== null && pictures[shownPicture].label === Number(button.dataset.class);
      button.setAttribute('aria-pressed', mine);
      if (mine) paint(button.querySelector('canvas'), Float32Array.from(picture, v => v / 255));
    });
    ['loss', 'step', 'start', 'protocol'].forEach(name => { form.elements[name].disabled = state.from === 'noise'; });
    all('[data-preset]').forEach(button => button.setAttribute('aria-pressed', button.dataset.preset === preset && preset !== ''));
    paint(paper, Float32Array.from(picture, v => v / 255));
  }

  function apply(id) {
    preset = id;
    state = { ...usual(), ...PRESETS[id]?.[1] };
    update();
  }

  form.addEventListener('input', event => {
    const { name, value } = event.target;
    if (name === 'tool') return;
    if (name === 'label') state.label = value === 'auto' ? null : Number(value);
    else state[name] = name in NUMBERS || name === 'eps' ? Number(value) : value;
    if (name === 'norm') state.eps = RADIUS[value].usual;
    preset = '';
    update();
  });
  form.addEventListener('submit', event => event.preventDefault());

  root.addEventListener('click', event => {
    const button = event.target.closest('button');
    if (!button) return;
    const { preset: id, shift, class: chosen, do: action } = button.dataset;
    if (id !== undefined) apply(id);
    else if (shift) shifted(...shift.split(' ').map(Number));
    else if (chosen) {
      const own = pictures.flatMap((p, i) => (p.label === Number(chosen) ? [i] : []));
      if (!own.length) return;
      choosePicture(own[(own.indexOf(shownPicture) + 1) % own.length]);
      state.label = null;
      update();
    } else ACTIONS[action]();
  });

  const ACTIONS = {
    clear() { picture.fill(0); shownPicture = null; update(); },
    play,
    step() { stop(); if (ended()) restart(); begin('attack', attacking(trial, trial.k + 1)); },
    run() { stop(); if (ended()) restart(); begin('attack', attacking(trial, state.steps)); },
    rewind() { stop(); restart(); },
    seed() { state.seed = (state.seed + 1) % 10000; update(); },
    race() { begin('race', racing()); showRace(); },
    link() {
      saveAddress();
      const field = find('.foot input'), shownLink = () => { field.hidden = false; field.value = location.href; field.select(); };
      if (!navigator.clipboard) return shownLink();
      navigator.clipboard.writeText(location.href).then(() => { find('[data-do=link]').textContent = 'copied'; }, shownLink);
    },
  };

  function shifted(dx, dy) {
    const moved = new Uint8Array(pixels);
    for (let i = 0; i < pixels; i++) {
      const column = i % side + dx, row = Math.floor(i / side) + dy;
      if (column >= 0 && column < side && row >= 0 && row < side) moved[row * side + column] = picture[i];
    }
    picture = moved;
    state.label ??= label;
    shownPicture = null;
    update();
  }

  // ---- pen and keyboard ---------------------------------------------------------------------------------------------

  const RADIUS_OF_PEN = 1.6;
  let last = null, at = [side / 2 | 0, side / 2 | 0];

  function dab(cx, cy) {
    const erase = form.elements.tool.value === 'erase';
    for (let i = 0; i < pixels; i++) {
      const distance = Math.hypot(i % side + 0.5 - cx, Math.floor(i / side) + 0.5 - cy);
      const ink = Math.round(255 * Math.min(1, Math.max(0, RADIUS_OF_PEN - distance)));
      if (ink) picture[i] = erase ? Math.min(picture[i], 255 - ink) : Math.max(picture[i], ink);
    }
    if (shownPicture !== null) state.label ??= pictures[shownPicture].label; // a changed picture keeps its class
    shownPicture = null;
  }

  function stroke(event) {
    const box = paper.getBoundingClientRect();
    const to = [(event.clientX - box.left) / box.width * side, (event.clientY - box.top) / box.height * side];
    const from = last ?? to, parts = Math.max(1, Math.ceil(2 * Math.hypot(to[0] - from[0], to[1] - from[1])));
    for (let i = 1; i <= parts; i++) dab(from[0] + (to[0] - from[0]) * i / parts, from[1] + (to[1] - from[1]) * i / parts);
    last = to;
    soon(update);
  }

  paper.addEventListener('pointerdown', event => {
    event.preventDefault();
    paper.setPointerCapture(event.pointerId);
    paper.focus({ preventScroll: true });
    cursor.hidden = true;
    pressed = true;
    last = null;
    stroke(event);
  });
  paper.addEventListener('pointermove', event => { if (pressed) (event.getCoalescedEvents?.() ?? [event]).concat(event).forEach(stroke); });
  ['pointerup', 'pointercancel'].forEach(kind => paper.addEventListener(kind, () => {
    if (!pressed) return;
    pressed = false;
    soon(update);
  }));
  paper.addEventListener('keydown', event => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (move) at = at.map((v, i) => Math.min(side - 1, Math.max(0, v + move[i])));
    else if (event.key === ' ' || event.key === 'x') {
      const tool = form.elements.tool.value;
      if (event.key === 'x') form.elements.tool.value = 'erase';
      dab(at[0] + 0.5, at[1] + 0.5);
      form.elements.tool.value = tool;
      update();
    } else return;
    event.preventDefault();
    showCursor();
  });
  paper.addEventListener('focus', () => { if (paper.matches(':focus-visible') && !pressed) showCursor(); });
  paper.addEventListener('blur', () => { cursor.hidden = true; });
  function showCursor() {
    cursor.hidden = false;
    cursor.style.left = `${100 * at[0] / side}%`;
    cursor.style.top = `${100 * at[1] / side}%`;
  }

  // ---- start ------------------------------------------------------------------------------------------------------

  function open(text) {
    const id = text.slice(1);
    if (!text.includes('=') && !PRESETS[id]) return false;
    preset = PRESETS[id] ? id : '';
    if (preset) choosePicture(0);
    read(text);
    update();
    if (preset) root.scrollIntoView();
    return true;
  }

  cursor.hidden = true;
  find('.tracks').hidden = true;
  all('.pictures button').forEach(button => {
    const own = pictures.find(p => p.label === Number(button.dataset.class));
    if (own) paint(button.querySelector('canvas'), Float32Array.from(own.values, v => v / 255));
    else button.hidden = true;
  });
  addEventListener('hashchange', () => open(location.hash));
  new ResizeObserver(() => { if (trial) chart(); }).observe(find('.chart'));
  if (!open(location.hash)) update();
})();
