// A list in a text input, with commas between its items: what the look-up and suggestions add to.
"use strict";

(() => {
  const itemsOf = (input) => input.value.split(/[\s,;]+/).filter(Boolean);
  const write = (input, items) => { input.value = items.join(", "); };
  const add = (input, item) => write(input, [...new Set([...itemsOf(input), item])]);
  const remove = (input, item) => write(input, itemsOf(input).filter((each) => each !== item));
  window.sigilo.list = { itemsOf, add, remove };
})();
