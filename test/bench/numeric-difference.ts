import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Tokenizer } from '@huggingface/tokenizers';
import { describeRange, type StageRange } from '#shared/model/stage.ts';
import { startModelServer } from '../support/model-server.ts';
import { launchChromium } from '../support/tabs.ts';
import { type Figure, formatFigures, median, writeFigures } from './figures.ts';
import { startPageServer } from './page-server.ts';
import type * as pageModule from './page/numeric-difference.ts';

/**
 * How far hidden rows and logits of an honest device may lie from those of another: the default model in four
 * stages, each from the same input on WASM and on WebGPU (SwiftShader), one position at a time and by chunks.
 */
const ranges: readonly StageRange[] = [
  { start: 0, end: 2, embedding: true, head: false },
  { start: 2, end: 4, embedding: false, head: false },
  { start: 4, end: 6, embedding: false, head: false },
  { start: 6, end: 8, embedding: false, head: true },
];
const text = `<|im_start|>user
Tell me a story about a brave mouse.<|im_end|>
<|im_start|>assistant
Once upon a time, there was a brave mouse named Pip. Pip lived in a small house by the sea with a little owl. One
windy morning, Pip found a silver bell under an old tree and did not know whose it was.`;
const positions = 64;

const { values: options } = parseArgs({ options: { json: { type: 'string' } } });

async function readModelFile(name: string): Promise<object> {
  const path = fileURLToPath(new URL(`../../models/wren/${name}`, import.meta.url));
  return JSON.parse(await readFile(path, 'utf8')) as object;
}

const tokenizer = new Tokenizer(await readModelFile('tokenizer.json'), await readModelFile('tokenizer_config.json'));
const tokens = tokenizer.encode(text, { add_special_tokens: false }).ids.slice(0, positions);
if (tokens.length < positions) throw new Error(`the text has only ${tokens.length} tokens`);

const stops: (() => Promise<unknown>)[] = [];
try {
  const models = await startModelServer();
  stops.push(() => models.stop());
  const pages = await startPageServer(models.url);
  stops.push(() => pages.stop());
  const browser = await launchChromium();
  stops.push(() => browser.close());
  const page = await browser.newPage();
  await page.goto(pages.url);
  const differences = await page.evaluate(
    async ([url, stages, ids]) => {
      const measure = '/test/bench/page/numeric-difference.ts';
      const { measureDifferences } = (await import(measure)) as typeof pageModule;
      return measureDifferences(url, stages, ids);
    },
    [models.url, ranges, tokens] as const,
  );
  const figures = differences.flatMap(({ range, pair, of, values }): Figure[] => {
    const what = of === 'rows' && range.head ? 'logits' : of;
    const name = `${describeRange(range)}: ${pair}: ${what}`;
    const shared = { unit: 'relative L2', runs: values.length };
    return [
      { name: `${name}, median`, value: Number(median(values).toPrecision(3)), ...shared },
      { name: `${name}, max`, value: Number(Math.max(...values).toPrecision(3)), ...shared },
    ];
  });
  console.log(formatFigures(figures));
  if (options.json !== undefined) await writeFigures(options.json, 'tsx test/bench/numeric-difference.ts', figures);
} finally {
  for (const stop of stops.reverse()) await stop();
}
