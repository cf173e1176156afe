// Shows the slices that the page holds: image, colours over it, outlines over these.
// Pictures of labels come without a palette; it is made here, from the classes that
// are switched on.
(() => {
  'use strict';

  const crc = (bytes) => {
    let c = -1;
    for (const byte of bytes) {
      c ^= byte;
      for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
    }
    return ~c;
  };
  const word = (n) => [n >>> 24 & 255, n >>> 16 & 255, n >>> 8 & 255, n & 255];
  const chunk = (kind, bytes) => {
    const body = [...kind].map((c) => c.charCodeAt(0)).concat(bytes);
    return [...word(bytes.length), ...body, ...word(crc(body))];
  };
  // Colours [r, g, b, alpha] as the two chunks of a palette, in base64. The second is
  // cut to a multiple of three, or the three parts could not be joined.
  const palette = (colours) => {
    const opaque = colours.map((c) => c[3]);
    opaque.length -= opaque.length % 3;
    const bytes = chunk('PLTE', colours.flatMap((c) => c.slice(0, 3))).concat(chunk('tRNS', opaque));
    return btoa(String.fromCharCode(...bytes));
  };
  const rgb = (css) => [1, 3, 5, 7].map((i) => parseInt(css.slice(i, i + 2) || 'ff', 16));
  const png = (base64) => 'data:image/png;base64,' + base64;

  let current = null;
  const viewers = [...document.querySelectorAll('.viewer')].map((root) => {
    const data = JSON.parse(document.getElementById(root.id + '-data').textContent);
    const one = (selector) => root.querySelector(selector);
    const checked = (name, fallback) => {
      const found = one(`[data-set="${name}"]:checked`);
      return found ? found.value : fallback;
    };
    const hidden = () => new Set([...root.querySelectorAll('[data-class]')]
      .filter((box) => !box.checked).map((box) => data.shown[box.dataset.class]));
    const at = {};
    const axis = () => {
      const name = checked('axis', data.axes[0].name);
      return data.axes.find((a) => a.name === name) || data.axes[0];
    };

    // The palette of labels: two indices a class, inside and edge, after the unlabeled.
    const ofLabels = (layer, outlined) => {
      const off = hidden();
      const dim = layer === 'annotation' && !outlined ? 110 : 0;
      const colours = [[0, 0, 0, dim]];
      data.classes.forEach((css, i) => {
        const shown = data.shown[i], [r, g, b] = rgb(css);
        if (shown * 2 + 1 < colours.length) return;
        const alpha = off.has(shown) ? 0 : 255;
        colours[shown * 2 + 1] = [r, g, b, outlined ? 0 : alpha];
        colours[shown * 2 + 2] = [r, g, b, alpha];
      });
      for (let i = 0; i < colours.length; i++) colours[i] = colours[i] || [0, 0, 0, 0];
      while (colours.length % 3) colours.push([0, 0, 0, 0]);
      return palette(colours);
    };
    const paletteOf = (layer, outlined) => layer === 'doubts' || layer === 'difference'
      ? palette(data[layer].map(rgb)) : ofLabels(layer, outlined);

    const put = (image, a, slice, layer, outlined) => {
      const pixels = slice[layer];
      image.hidden = !pixels;
      if (!pixels) { image.alt = ''; return; }
      image.src = png(a.head[layer] + paletteOf(layer, outlined) + pixels);
      image.alt = outlined ? `outlines of the ${layer}` : `${layer} in colours`;
    };

    const show = () => {
      const a = axis(), last = a.slices.length - 1;
      at[a.name] = Math.max(0, Math.min(last, at[a.name] ?? first(a)));
      const slice = a.slices[at[a.name]];
      const range = one('.at');
      range.max = last;
      range.value = at[a.name];
      const picture = one('.picture');
      picture.style.setProperty('--ratio', a.ratio);
      const image = one('.image');
      image.src = png(slice.image);
      image.alt = `${data.label}, slice ${a.name} ${slice.i}`;
      image.hidden = false;
      const colour = checked('colour', 'none');
      put(one('.colour'), a, slice, colour, false);
      one('.colour').style.opacity = one('.opaque').value / 100;
      put(one('.outline'), a, slice, checked('outline', 'none'), true);
      const scale = one('.picture .scale');
      scale.hidden = !a.bar[0];
      scale.style.width = 100 * a.bar[0] + '%';
      scale.querySelector('span').textContent = a.bar[1];
      root.querySelectorAll('.marks').forEach((marks) => { marks.hidden = marks.dataset.axis !== a.name; });
      const parts = [`Slice ${a.name} ${slice.i} of 0 to ${a.of - 1}`,
        `Fiji counts ${slice.i + 1} of ${a.of}`];
      const kinds = ['', 'annotated', 'annotated, held out'];
      if (slice.kind) parts.push(kinds[slice.kind]);
      if (slice.iou) parts.push(`mean IoU ${slice.iou}`);
      if (colour !== 'none' && !slice[colour]) parts.push(`no ${colour} on this slice`);
      one('.where').textContent = parts.join(' \u00b7 ');
      range.setAttribute('aria-valuetext', parts[0]);
    };
    // Where a person looks first: a slice held out, else annotated, else the middle.
    const first = (a) => {
      for (const kind of [2, 1]) {
        const found = a.slices.map((s, i) => [s.kind, i]).filter(([k]) => k === kind);
        if (found.length) return found[found.length >> 1][1];
      }
      return a.slices.length >> 1;
    };
    const viewer = {
      root,
      go(to) { at[axis().name] = to; show(); },
      step(by) { viewer.go(at[axis().name] + by); },
      end(last) { viewer.go(last ? axis().slices.length - 1 : 0); },
      slice(axisIndex, index) {
        const a = data.axes.find((x) => x.axis === axisIndex);
        const radio = a && one(`[data-set="axis"][value="${a.name}"]`);
        if (!a) return;
        if (radio) radio.checked = true;
        const found = a.slices.findIndex((s) => s.i === index);
        if (found >= 0) viewer.go(found);
      },
    };
    root.addEventListener('input', (event) => {
      current = viewer;
      if (event.target.classList.contains('at')) viewer.go(Number(event.target.value));
      else show();
    });
    root.addEventListener('click', (event) => {
      current = viewer;
      const { step, at: mark } = event.target.dataset;
      if (step) viewer.step(Number(step));
      if (mark) viewer.go(Number(mark));
    });
    show();
    return viewer;
  });

  document.addEventListener('keydown', (event) => {
    const viewer = current || viewers[0];
    const inRange = event.target.matches && event.target.matches('input');
    if (!viewer || inRange || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'ArrowLeft') viewer.step(-1);
    else if (event.key === 'ArrowRight') viewer.step(1);
    else if (viewer.root.contains(event.target) && event.key === 'Home') viewer.end(false);
    else if (viewer.root.contains(event.target) && event.key === 'End') viewer.end(true);
    else return;
    event.preventDefault();
  });
  document.addEventListener('click', (event) => {
    const link = event.target.closest && event.target.closest('[data-slice]');
    if (!link) return;
    const viewer = viewers.find((v) => '#' + v.root.id === link.getAttribute('href'));
    const [axis, index] = link.dataset.slice.split(',').map(Number);
    if (viewer) { current = viewer; viewer.slice(axis, index); }
  });
})();
