// What a model's probabilities say, in words: shared by page and card.

/** The index of the largest value, the first of equal ones. */
export function best(values) {
  return values.indexOf(Math.max(...values));
}

export function words(site, head, language) {
  const vocabulary = site.labels.heads[head];
  return language === "ko" ? vocabulary.korean : vocabulary.names;
}

/** The sentence for the likeliest class of each head. */
export function sentence(site, probabilities, language) {
  let text = site.labels[`sentence_${language}`];
  for (const [head, values] of Object.entries(probabilities)) {
    const word = words(site, head, language)[best(values)];
    text = text.replaceAll(`{${head}}`, word);
  }
  return text;
}

/** "71.6 %", "<0.1 %", ">99.9 %". */
export function percent(value) {
  if (value > 0 && value < 0.0005) return "<0.1 %";
  if (value >= 0.9995 && value < 1) return ">99.9 %";
  return `${(100 * Math.min(value, 1)).toFixed(1)} %`;
}

/** The likeliest classes of a head and one row for all the others.
 *
 * Returns [{word, value, kind}], kind is "bar", "other" or "rest".
 */
export function rows(site, head, values, language, most = 4) {
  const names = words(site, head, language);
  const order = values.map((_, i) => i).sort((a, b) => values[b] - values[a]);
  // One class left over is shown by its name, in the row it would take anyway.
  const count = order.length <= most + 1 ? order.length : most;
  const found = order.slice(0, count).map((i, rank) => ({
    word: names[i], value: values[i], kind: rank ? "other" : "bar",
  }));
  const others = order.slice(count);
  if (others.length) {
    const word = site.words[language].rest.replace("{}", others.length);
    const value = others.reduce((sum, i) => sum + values[i], 0);
    found.push({word, value, kind: "rest"});
  }
  return found;
}
