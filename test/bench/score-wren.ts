import { loadRuntimeStage } from '../support/runtime-stage.ts';
/**
 * Scores models/wren on the questions of its recipe: `tsx test/bench/score-wren.ts [q4|q8|fp32 …]`. The model is imported
 * and run as volunteers run it, in two stages on the WASM backend with f16 rows between them, always taking the
 * likeliest token.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import type { Digest, SessionId } from '#shared/ids.ts';
import { TOP_K } from '#shared/limits.ts';
import { stageParts } from '#shared/model/cut.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { Rows } from '#shared/rows/rows.ts';
import { logitsRowBytes, readCandidates } from '#shared/rows/logits-row.ts';
import { openModelText, type ModelText } from '#shared/text/model-text.ts';
import { importModel } from '../../signal-server/import/import-model.ts';
import type { ServedStage } from '../../worker/served-stage.ts';

const folder = new URL('../../models/wren/', import.meta.url).pathname;
const question = z.object({ question: z.string(), answer: z.string() });
const story = z.object({ question: z.string(), hero: z.string(), thing: z.string() });
const questionsSchema = z.object({ sums: z.array(question), facts: z.array(question), stories: z.array(story) });

const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'string' } } });
const quants = z.array(z.enum(['q4', 'q8', 'fp32'])).parse(positionals.length > 0 ? positionals : ['q4', 'q8', 'fp32']);
const questions = questionsSchema.parse(JSON.parse(await readFile(join(folder, 'recipe/questions.json'), 'utf8')));
const figures: { name: string; value: number; unit: string }[] = [];

for (const quant of quants) {
  const dataFolder = await mkdtemp(join(tmpdir(), 'chorus-score-'));
  try {
    const { manifest } = await importModel(folder, { quant, dataFolder, onProgress: () => undefined });
    const { answer, release } = await openWren(manifest, dataFolder);
    for (const kind of ['sums', 'facts'] as const) {
      let good = 0;
      for (const { question, answer: expected } of questions[kind]) {
        if ((await answer(question, 40)) === expected) good++;
      }
      report(`${quant} ${kind}`, good, questions[kind].length);
    }
    let good = 0;
    for (const { question, hero, thing } of questions.stories) {
      if (keepsItsCast(await answer(question, 260), hero, thing)) good++;
    }
    report(`${quant} stories`, good, questions.stories.length);
    await release();
  } finally {
    await rm(dataFolder, { recursive: true, force: true });
  }
}
if (values.json !== undefined) {
  await writeFile(values.json, JSON.stringify(figures, null, 2));
}

function report(name: string, good: number, of: number): void {
  console.log(`${name}: ${good}/${of}`);
  figures.push({ name, value: good / of, unit: 'share right' });
}

/** As score.py judges: the hero has a name that comes up five times, the thing is in it, and it ends as a sentence. */
function keepsItsCast(text: string, hero: string, thing: string): boolean {
  const found = new RegExp(`${hero} (?:named|called) (\\w+)|([A-Z]\\w+) was an? \\w+ ${hero}`).exec(text);
  const name = found?.[1] ?? found?.[2];
  return name !== undefined && text.split(name).length > 5 && text.includes(thing) && /[."]$/.test(text);
}

async function openWren(manifest: Manifest, dataFolder: string) {
  const blobs = new Map<Digest, Uint8Array<ArrayBuffer>>();
  const read = async (digest: Digest) => {
    const bytes = new Uint8Array(await readFile(join(dataFolder, 'blobs', digest)));
    blobs.set(digest, bytes);
    return bytes;
  };
  await read(manifest.graph.digest);
  const text = openModelText(
    await read(manifest.tokenizer.tokenizer.digest),
    await read(manifest.tokenizer.config.digest),
  );
  const { layers } = manifest.config;
  const half = Math.floor(layers / 2);
  const ranges: StageRange[] = [
    { start: 0, end: half, embedding: true, head: false },
    { start: half, end: layers, embedding: false, head: true },
  ];
  const stages: ServedStage[] = [];
  for (const range of ranges) {
    for (const part of stageParts(manifest, range)) await read(part.blob.digest);
    stages.push(await loadRuntimeStage({ manifest, blob: (digest) => blobs.get(digest)! }, range));
  }
  return {
    answer: (question: string, limit: number) => answerWith(stages, manifest, text, question, limit),
    release: async () => {
      for (const stage of stages) await stage.release();
    },
  };
}

async function answerWith(
  stages: readonly ServedStage[],
  { config }: Manifest,
  text: ModelText,
  question: string,
  limit: number,
): Promise<string> {
  const session = '00'.repeat(16) as SessionId;
  const candidates = Math.min(TOP_K, config.vocabularySize);
  for (const stage of stages) await stage.open(session, config.maxPositions);
  const answer: number[] = [];
  let next = text.encodePrompt(text.chatPrompt([{ role: 'user', content: question }]));
  for (let start = 0; answer.length < limit;) {
    const bytes = new Uint8Array(Uint32Array.from(next).buffer);
    let rows: Rows = { kind: 'tokens', start, count: next.length, bytes };
    start += next.length;
    for (const stage of stages) rows = (await stage.run({ session, input: rows, logitsFrom: start - 1 })).output;
    const row = rows.bytes.slice(-logitsRowBytes(candidates));
    const best = readCandidates(row, config.vocabularySize, candidates).tokens[0]!;
    if (config.endTokens.includes(best)) break;
    answer.push(best);
    next = [best];
  }
  for (const stage of stages) await stage.close(session);
  return text.decode(answer);
}
