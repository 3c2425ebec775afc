// The explorer of companion.publishing.explorers.scatter: nets as points under two measures of the reader's choice.

const NS = 'http://www.w3.org/2000/svg';
const made = (name, attributes, text) => {
  const element = document.createElementNS(NS, name);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  if (text !== undefined) element.textContent = text;
  return element;
};

// Round numbers, about `wanted` of them, from the first at or above low to the last at or below high.
function ticks(low, high, wanted = 5) {
  const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(k => k * power >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) found.push(+(k * step).toPrecision(12));
  return found;
}

// From values to places on the page, with some room at both ends.
function scale(values, from, to) {
  const finite = values.filter(v => v !== null), low = Math.min(...finite), high = Math.max(...finite), room = 0.06 * (high - low) || 1;
  const ends = [low - room, high + room];
  const at = v => from + (v - ends[0]) / (ends[1] - ends[0]) * (to - from);
  return { at, marks: ticks(ends[0], ends[1]) };
}

function setup(root) {
  const { nets, measures, says } = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const form = root.querySelector('form'), svg = root.querySelector('svg'), panel = root.querySelector('.chosen');
  const [x, y, net] = ['x', 'y', 'net'].map(name => form.elements[name]);

  const show = index => {
    const of = nets[index];
    net.value = index;
    svg.querySelectorAll('circle').forEach(dot => dot.classList.toggle('on', +dot.dataset.net === index));
    panel.querySelector('img').src = 'data:image/png;base64,' + of.gallery;
    panel.querySelector('img').alt = 'Gradients of ' + of.name;
    panel.querySelector('b').textContent = of.name;
    panel.querySelector('span').textContent = [x, y].map(m => measures[m.value] + ' ' + (of.values[m.value] === null ? 'infinite' : of.values[m.value].toPrecision(3))).join('; ');
  };

  const draw = () => {
    const places = [x, y].map(m => nets.map(of => of.values[m.value]));
    const across = scale(places[0], 52, 472), up = scale(places[1], 300, 12);
    svg.replaceChildren();
    across.marks.forEach(v => {
      svg.append(made('line', { x1: across.at(v), x2: across.at(v), y1: 12, y2: 300, class: 'grid' }));
      svg.append(made('text', { x: across.at(v), y: 316, 'text-anchor': 'middle' }, v));
    });
    up.marks.forEach(v => {
      svg.append(made('line', { x1: 52, x2: 472, y1: up.at(v), y2: up.at(v), class: 'grid' }));
      svg.append(made('text', { x: 47, y: up.at(v) + 4, 'text-anchor': 'end' }, v));
    });
    svg.append(made('text', { x: 262, y: 338, 'text-anchor': 'middle', class: 'axis' }, measures[x.value]));
    svg.append(made('text', { x: 13, y: 156, 'text-anchor': 'middle', class: 'axis', transform: 'rotate(-90 13 156)' }, measures[y.value]));
    nets.forEach((of, i) => {
      if (places.some(values => values[i] === null)) return;
      const dot = made('circle', { cx: across.at(places[0][i]), cy: up.at(places[1][i]), r: 6, fill: of.colour, 'data-net': i });
      dot.append(made('title', {}, of.name));
      ['mouseenter', 'click'].forEach(event => dot.addEventListener(event, () => show(i)));
      svg.append(dot);
    });
    root.querySelector('.says').textContent = says[x.value][y.value];
    show(+net.value);
  };

  form.addEventListener('input', event => (event.target === net ? show(+net.value) : draw()));
  form.addEventListener('submit', event => event.preventDefault());
  root.querySelector('.still').hidden = true;
  [form, svg, panel].forEach(part => part.removeAttribute('hidden'));
  draw();
}

if (typeof document === 'undefined') module.exports = { ticks, scale };
else document.querySelectorAll('.cmp-scatter:not([data-ready])').forEach(root => { root.dataset.ready = ''; setup(root); });
