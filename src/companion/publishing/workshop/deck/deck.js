// A deck is shown by reveal.js; on a phone its slides stand below each other, with the notes.
(() => {
  const asked = /receiver|print-pdf|preview/.test(location.search);
  if (innerWidth < 700 && !asked) {
    document.querySelector('.reveal').className = 'handout';
    return;
  }
  Reveal.initialize({
    width: 1280, height: 720, margin: 0.02, center: false, display: 'flex', hash: true, slideNumber: 'c/t',
    transition: 'none', controls: false, scrollActivationWidth: null, pdfSeparateFragments: false,
    plugins: [RevealNotes],
  });
  // Fonts differ from machine to machine: what is too long for its slide here gets smaller letters.
  const fit = () => {
    const slide = Reveal.getCurrentSlide();
    for (let size = 100; slide.scrollHeight > slide.clientHeight + 1 && size > 50; size -= 4)
      slide.style.fontSize = `${size}%`;
  };
  Reveal.on('ready', fit);
  Reveal.on('slidechanged', fit);
  window.MathJax?.startup?.promise?.then(fit);
})();
