// Zoom (click a bar, click the root or press Escape to leave) and search (press / or click Search).
(function () {
  var svg = document.querySelector('svg'), bars = [], term = '';
  var status = document.getElementById('status'), WIDTH = 1176, LEFT = 12, LETTER = 6.2;
  Array.prototype.forEach.call(document.querySelectorAll('g.b'), function (g) {
    var rect = g.querySelector('rect'), title = g.querySelector('title').textContent;
    var drawn = +rect.getAttribute('width'), gap = drawn > 1.5 ? 0.5 : 0;
    bars.push({
      g: g, rect: rect, text: g.querySelector('text'), title: title, name: title.split('\n')[0],
      x: +rect.getAttribute('x') - LEFT, w: drawn + gap, y: +rect.getAttribute('y')
    });
  });
  function fit(name, width) {
    var room = Math.floor((width - 6) / LETTER);
    return room < 3 ? '' : name.length <= room ? name : name.slice(0, room - 1) + '\u2026';
  }
  function zoom(to) {
    var scale = WIDTH / Math.max(to.w, 1e-6), end = to.x + to.w;
    bars.forEach(function (bar) {
      var inside = bar.y > to.y && bar.x >= to.x - 0.02 && bar.x + bar.w <= end + 0.02;
      var above = bar.y <= to.y && bar.x <= to.x + 0.02 && bar.x + bar.w >= end - 0.02;
      bar.g.style.display = inside || above ? '' : 'none';
      if (!inside && !above) return;
      var x = above ? 0 : (bar.x - to.x) * scale, w = above ? WIDTH : bar.w * scale;
      bar.rect.setAttribute('x', LEFT + x);
      bar.rect.setAttribute('width', w > 2 ? w - 0.5 : Math.max(w, 0.3));
      bar.g.style.opacity = above && bar !== to ? 0.55 : 1;
      if (!bar.text) {
        bar.text = document.createElementNS('http://www.w3.org/2000/svg', 'text');
        bar.text.setAttribute('y', bar.y + 13);
        bar.g.appendChild(bar.text);
      }
      bar.text.setAttribute('x', LEFT + x + 4);
      bar.text.textContent = fit(bar.name, w);
    });
  }
  function search(wanted) {
    term = wanted;
    var test = null, covered = 0, matched = [];
    if (term) {
      try { test = new RegExp(term, 'i'); } catch (e) { test = null; status.textContent = 'not a regular expression'; return; }
    }
    bars.forEach(function (bar) {
      var hit = test && test.test(bar.name);
      bar.rect.setAttribute('class', bar.rect.getAttribute('class').replace(/ (hit|miss)/g, '') + (test ? hit ? ' hit' : ' miss' : ''));
      if (hit && !matched.some(function (m) { return m.y < bar.y && m.x <= bar.x + 0.02 && m.x + m.w >= bar.x + bar.w - 0.02; })) {
        matched.push(bar);
        covered += bar.w;
      }
    });
    status.textContent = test ? 'matched ' + (100 * covered / WIDTH).toFixed(2) + ' %: ' + term : 'Search';
  }
  function ask() { var wanted = prompt('Search functions (regular expression)', term); if (wanted !== null) search(wanted); }
  bars.forEach(function (bar) { bar.g.addEventListener('click', function () { zoom(bar); }); });
  status.addEventListener('click', ask);
  window.addEventListener('keydown', function (event) {
    if (event.key === '/') { event.preventDefault(); ask(); }
    if (event.key === 'Escape') { zoom(bars[0]); search(''); }
  });
})();
