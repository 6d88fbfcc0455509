import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeRange } from '#shared/model/stage.ts';
import { readGoldenAnswers } from '../support/golden-answers.ts';
import { importWren } from '../support/imported-wren.ts';
import { withThreeBits } from '../support/traces/substitutes.ts';
import { arithmeticRows, doublesOf } from './accuracy/arithmetic-error.ts';
import { everydayConversations } from './accuracy/conversations.ts';
import { readGguf } from './accuracy/gguf-file.ts';
import { openImported, withFloats, type PlannedModel } from './accuracy/planned-model.ts';
import { openSmol, openSmolText } from './accuracy/smol-model.ts';
import { loadSplit, splitInDoubles, splitRanges } from './accuracy/split-model.ts';
import { stageRows } from './accuracy/stage-gap.ts';
import { table } from './calibrate/tables.ts';
import { tracedWren } from './calibrate/trace-set.ts';

/**
 * The cost of rounding activations to 16 bits: the default model, and SmolLM2-135M-Instruct where FOLDER holds its GGUF file of
 * Q4_1 matrices. Each in double precision, in the engine's products of floats, and in its own arithmetic, over
 * whole conversations and stage by stage. `tsx test/bench/engine-accuracy.ts [FOLDER]`
 */
const { positionals } = parseArgs({ allowPositionals: true });
const started = performance.now();
const say = (what: string): void => console.error(`${Math.round((performance.now() - started) / 1000)} s: ${what}`);

interface Measured {
  readonly name: string;
  /** The model as the engine runs it, in float weights, and in cheaper ones. */
  readonly own: PlannedModel;
  readonly floats: PlannedModel;
  readonly cheaper: PlannedModel;
  /** Layers after which rows are compared, and the parts between that make up each stage. */
  readonly marks: readonly number[];
  readonly stageParts: readonly number[];
  readonly sequences: readonly Uint32Array[];
}

/** Rows of the inference runtime that many people would use instead, which rounds them to eight bits. */
const FEW_BITS = 8;
const totals: string[][] = [];
const stages: string[][] = [];
const [folder] = positionals;
const models = [() => wren('q4'), () => wren('q8'), ...(folder === undefined ? [] : [() => smol(folder)])];
for (const open of models) {
  const { name, own, floats, cheaper, marks, stageParts, sequences } = await open();
  say(name);
  const split = {
    'floats of 32 bits': await loadSplit(floats, marks),
    'the engine: rows of 16 bits': await loadSplit(own, marks),
    'rows of 8 bits': splitInDoubles(floats, marks, FEW_BITS),
  };
  const rows = await arithmeticRows(doublesOf(floats, marks), split, sequences, (what) => say(`${name}: ${what}`));
  totals.push(...rows.map((cells) => [`${name}, after ${marks.join(', ')}`, ...cells]));
  const contestants = {
    floats: split['floats of 32 bits'],
    engine: split['the engine: rows of 16 bits'],
    cheaper: { weights: await loadSplit(cheaper, marks), rows: split['rows of 8 bits'] },
  };
  stages.push(
    ...(await stageRows(own, contestants, stagesOf(marks, stageParts), sequences)).map((cells) => [name, ...cells]),
  );
}
const hidden = 'hidden rows after layers, median';
const arithmetics = [hidden, 'logits, median / p99', 'largest change of one', 'likeliest kept', 'nll'];
console.log(table(['model', 'arithmetic', ...arithmetics], totals));
const found = [
  'chunks',
  'the engine, median / largest',
  'cheaper weights, gap',
  '8-bit rows, gap',
  'likeliest / drawn that differ',
];
console.log(`\n${table(['model', 'stage', ...found], stages)}`);

function stagesOf(marks: readonly number[], stageParts: readonly number[]): { name: string; parts: number }[] {
  const ranges = splitRanges(marks);
  let at = 0;
  return stageParts.map((parts, i) => {
    const range = { ...ranges[at]!, end: ranges[at + parts - 1]!.end, head: i === stageParts.length - 1 };
    at += parts;
    return { name: describeRange(range), parts };
  });
}

async function wren(quantization: 'q4' | 'q8'): Promise<Measured> {
  const traced = tracedWren(await importWren(quantization));
  const own = openImported(traced);
  const cheaper = openImported(quantization === 'q4' ? withThreeBits(traced) : tracedWren(await importWren('q4')));
  return {
    ...{ name: traced.name, own, floats: withFloats(own), cheaper },
    ...{ marks: [1, 4, 8], stageParts: [2, 1] },
    sequences: readGoldenAnswers().chats.map(({ prompt, tokens }) => {
      const end = tokens.findIndex((token) => traced.manifest.config.endTokens.includes(token));
      return Uint32Array.from([...prompt, ...tokens.slice(0, end === -1 ? undefined : end + 1)]);
    }),
  };
}

async function smol(folder: string): Promise<Measured> {
  const name = (await readdir(folder)).find((file) => file.endsWith('.gguf'));
  if (name === undefined) throw new Error(`there is no GGUF file in ${folder}`);
  const file = await readGguf(join(folder, name));
  const encode = openSmolText(file);
  const turn = (role: string, content: string): string => `<|im_start|>${role}\n${content}<|im_end|>\n`;
  return {
    ...{ name: 'SmolLM2-135M', own: openSmol(file, 'blocks'), floats: openSmol(file, 'floats') },
    ...{ cheaper: openSmol(file, 'three bits'), marks: [1, 10, 20, 30], stageParts: [2, 1, 1] },
    sequences: everydayConversations.map(([question, answer]) =>
      Uint32Array.from(encode(turn('user', question) + turn('assistant', answer))),
    ),
  };
}
