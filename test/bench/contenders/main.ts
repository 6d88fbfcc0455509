import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import express from 'express';
import { listen, type Listening } from '../../support/log-stand.ts';
import { writeFigures, type Figure } from '../figures.ts';
import { startPageServer } from '../page-server.ts';
import type { Material } from './contender.ts';
import { installContenders, modulesFolder } from './install.ts';
import { prepareModel, smolShape, writeRandomModel, type PreparedModel } from './models.ts';
import { createNative } from './native.ts';
import { formatMeasured, measuredFigures } from './tables.ts';
import { openContender } from './tab.ts';
import { takeTurns, type Plan, type Rival } from './take-turns.ts';

/**
 * `npm run bench:contenders -- [FOLDER…]`: one tab with a whole model in Chorus's compute thread against what else runs language
 * models on a CPU: transformers.js and wllama in tabs of their own, and llama.cpp as machine code in this process. All have the
 * same q4 weights and one thread, and take turns. Without folders the models are Wren and one of random weights in the shape of
 * SmolLM2-135M. Rivals that are no dependencies of the project are installed into `packages` first.
 */
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    /** Names of rivals, of `openers`, with commas between. */
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    tokens: { type: 'string', default: '64' },
  },
});
const COMMAND = 'npm run bench:contenders';
const STEPS = 32;
/** A GGUF context is a little longer than what is measured, as the token after it has its place too. */
const ROOM = 64;
const wren = fileURLToPath(new URL('../../../models/wren', import.meta.url));

const inNode = { runsIn: `Node ${process.version.slice(1)}`, memory: async () => null };
type Open = (model: PreparedModel, material: Material, pageUrl: string) => Promise<Omit<Rival, 'name'>>;

const inTab = (name: Parameters<typeof openContender>[1]): Open => {
  return (_model, material, pageUrl) => openContender(pageUrl, name, material);
};
const openers: Readonly<Record<string, Open>> = {
  Chorus: inTab('chorus'),
  'transformers.js': inTab('transformers'),
  'wllama Q4_0': inTab('wllamaQ4'),
  'wllama Q8_0': inTab('wllamaQ8'),
  async 'node-llama-cpp Q4_0'({ folder }, { positions }) {
    return { ...(await createNative(join(folder, 'Q4_0.gguf'), positions)), ...inNode };
  },
};

/** As long as the model allows: Wren ends at 512 positions. */
function planFor({ maxPositions }: PreparedModel): Plan {
  const isLong = maxPositions >= 2000 + ROOM;
  return {
    ...{ rounds: Number(options.rounds), tokens: Number(options.tokens), steps: STEPS },
    ...{ prompts: [128, isLong ? 512 : 384], depths: [100, isLong ? 2000 : maxPositions - ROOM] },
  };
}

/** Serves what tabs fetch: each model's folders, and wllama's package. */
function serveFiles(models: readonly PreparedModel[]): Promise<Listening> {
  const app = express().use((_request, response, next) => {
    response.setHeader('access-control-allow-origin', '*');
    next();
  });
  app.use('/wllama', express.static(join(modulesFolder, '@wllama/wllama/esm')));
  for (const { name, source, folder } of models) {
    app.use(`/folders/${name}`, express.static(source));
    app.use(`/prepared/${name}`, express.static(folder));
  }
  return listen(app);
}

function materialOf({ name, hasDataFile, ...model }: PreparedModel, filesUrl: string, plan: Plan): Material {
  const longest = Math.max(...plan.depths, ...plan.prompts, plan.tokens);
  return {
    importedUrl: `${filesUrl}prepared/${name}`,
    folder: { url: `${filesUrl}folders/`, name, hasDataFile },
    wllamaUrl: `${filesUrl}wllama`,
    positions: Math.min(model.maxPositions, longest + ROOM),
  };
}

async function measureModel(model: PreparedModel, filesUrl: string, pageUrl: string): Promise<Figure[]> {
  const plan = planFor(model);
  const rivals: Rival[] = [];
  try {
    for (const [name, open] of Object.entries(openers)) {
      if (wanted !== null && !wanted.includes(name)) continue;
      console.error(`${model.name}: loading ${name}`);
      rivals.push({ name, ...(await open(model, materialOf(model, filesUrl, plan), pageUrl)) });
    }
    const measured = await takeTurns(rivals, plan, (text) => console.error(`${model.name}: ${text}`));
    console.log(`\n${formatMeasured(model.name, measured)}`);
    return measuredFigures(model.name, measured);
  } finally {
    for (const rival of rivals) await rival.stop();
  }
}

const wanted = options.only?.split(',') ?? null;
const unknown = wanted?.find((name) => !Object.hasOwn(openers, name));
if (unknown !== undefined) throw new Error(`there is no rival ${unknown}, only ${Object.keys(openers).join(', ')}`);

const versions = await installContenders(() => console.error('installing the contenders'));
const parent = await mkdtemp(join(tmpdir(), 'chorus-contenders-'));
const stops: (() => Promise<unknown>)[] = [() => rm(parent, { recursive: true, force: true })];
try {
  const models: PreparedModel[] = [];
  const prepare = async (folder: string): Promise<void> => {
    console.error(`preparing ${basename(folder)}`);
    models.push(await prepareModel(folder, parent));
  };
  for (const folder of positionals.length > 0 ? positionals : [wren]) await prepare(folder);
  if (positionals.length === 0) {
    console.error(`drawing weights in the shape of ${smolShape.name}`);
    await prepare(await writeRandomModel(parent));
  }
  const files = await serveFiles(models);
  stops.push(() => files.stop());
  const pages = await startPageServer(files.url.href, ['test/bench/contenders/page/*.ts', 'worker/main.ts']);
  stops.push(() => pages.stop());

  const cores = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`;
  const packages = [...versions].map(([name, version]) => `${name} ${version}`).join(', ');
  console.log(`${cores}, ${packages}, ${options.rounds} rounds, medians`);
  const figures: Figure[] = [];
  for (const model of models) figures.push(...(await measureModel(model, files.url.href, pages.url)));
  if (options.json !== undefined) await writeFigures(options.json, COMMAND, figures);
} finally {
  for (const stop of stops.reverse()) await stop();
}
