import type { Command } from 'commander';
import { checkPiece, pieceRange } from '#shared/blobs/piece.ts';
import { concatBytes } from '#shared/bytes.ts';
import { describeClock } from '#shared/clock.ts';
import { generateKeyPair, identityOf, verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import type { BlobRef } from '#shared/model/manifest.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { ReleasedText } from '#shared/requester/engine/released-text.ts';
import { openManifest } from '#shared/route/open-signed.ts';
import { systemRandom } from '../../machine/system-clock.ts';
import { loadModelText } from '../../node-peer/load-model-text.ts';
import { createNodeRequester } from '../../node-peer/requester-program.ts';
import { serverApiAt, type ServerApi } from '../../node-peer/server-api.ts';
import { holdNewHead } from '../log/hold-log.ts';
import { memoryOption, NO_MEMORY, noRememberOption } from '../log/log-memory.ts';
import { checkOutput } from '../terminal/check-output.ts';
import { explainFileError } from '../terminal/explain-error.ts';
import { numberWithin, serverOption } from '../terminal/option-values.ts';
import { reachServer } from '../terminal/reach-server.ts';
import { UsageError } from '../terminal/usage-error.ts';
import { keepReceipt, makeAskedReceipt } from './ask-receipt.ts';
import { countReaders, describeChecks, describeReaders } from './describe-checks.ts';
import { RouteReport } from './route-report.ts';

interface AskOptions {
  readonly server: URL;
  readonly model?: string;
  readonly system?: string;
  readonly maxTokens?: number;
  readonly temperature: number;
  readonly topP: number;
  readonly seed?: number;
  readonly route?: true;
  readonly json?: true;
  readonly early?: true;
  readonly receipt?: string;
  readonly secrets?: string;
  readonly memory: string | null;
  readonly remember: boolean;
}

export function defineAsk(command: Command): void {
  command
    .argument('<prompt>', 'what to ask')
    .addOption(serverOption())
    .option('--model <name>', 'model to ask; the first that the server has if left out')
    .option('--system <text>', 'what the model is told before the question')
    .option(
      '--max-tokens <count>',
      'longest answer; as long as the model has room if left out',
      numberWithin(1, 1e6, 'whole'),
    )
    .option('--temperature <number>', '0 takes the likeliest token each time', numberWithin(0, 2), 0)
    .option(
      '--top-p <number>',
      'share of the probability to choose from; 0 takes the likeliest token',
      numberWithin(0, 1),
      1,
    )
    .option('--seed <number>', 'makes a choice by chance repeatable', numberWithin(0, Number.MAX_SAFE_INTEGER, 'whole'))
    .option('--early', 'print each token at once, before its check')
    .option('--route', 'say on standard error who answers and where the time goes')
    .option('--json', 'print answer, verdict, receipt and how many could read the prompt as JSON once it is over')
    .option('--receipt <file>', 'write the receipt of the answer, which chorus verify reads')
    .option(
      '--secrets <file>',
      'write what the receipt has hashed only: salt, prompt and tokens; show it to whom you like',
    )
    .addOption(memoryOption())
    .addOption(noRememberOption())
    .action(ask);
}

async function ask(prompt: string, options: AskOptions): Promise<void> {
  if (prompt.trim() === '')
    throw new UsageError("the prompt is empty: say what to ask, as in chorus ask 'Why do birds sing?'");
  if (options.receipt !== undefined) await checkOutput('--receipt', options.receipt);
  if (options.secrets !== undefined) await checkOutput('--secrets', options.secrets);
  const aborter = new AbortController();
  const { signal } = aborter;
  const interrupt = () => aborter.abort(new ChorusError('cancelled', 'interrupted'));
  process.once('SIGINT', interrupt);
  // The reader of the answer may have had enough of it.
  const lost = (error: NodeJS.ErrnoException): void => {
    const what = `the answer cannot be written: ${explainFileError(error) ?? error.message}`;
    aborter.abort(error.code === 'EPIPE' ? new ChorusError('cancelled', what) : new ChorusError('internal', what));
  };
  process.stdout.on('error', lost);
  try {
    await reachServer(options.server, askNetwork(prompt, options, signal));
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    process.off('SIGINT', interrupt);
  }
  if (!signal.aborted) return;
  if (signal.reason instanceof ChorusError && signal.reason.code === 'internal') throw signal.reason;
  process.exitCode = 130;
}

async function askNetwork(prompt: string, options: AskOptions, signal: AbortSignal): Promise<void> {
  const { server: serverUrl, temperature, topP } = options;
  const api = serverApiAt(serverUrl);
  const digest = await chooseModel(api, options.model, signal);
  const identity = await identityOf(await generateKeyPair());
  const joined = await createNodeRequester({ serverUrl, identity, kind: 'cli', signal });
  const { requester, control, clock, close } = joined;
  const wrongBy = describeClock(clock.aheadMs);
  if (wrongBy !== null) process.stderr.write(`the clock of this machine is ${wrongBy}: set it right\n`);
  try {
    const authority = { serverKey: control.serverKey, verify };
    const manifest = await openManifest(await api.fetchManifest(digest, signal), digest, authority);
    const text = await loadModelText(manifest, (ref) => fetchBlob(ref, api, signal));
    const system = options.system === undefined ? [] : [{ role: 'system', content: options.system }];
    const { maxPositions } = manifest.config;
    const asking = text.chatPrompt([...system, { role: 'user', content: prompt }]);
    const promptTokens = text.encodePrompt(asking, maxPositions);
    const room = Math.max(1, maxPositions - promptTokens.length);
    const seed = options.seed ?? new DataView(systemRandom(4).buffer).getUint32(0);
    const request = {
      promptTokens,
      maxNewTokens: options.maxTokens ?? room,
      // The share of probability 0 holds the likeliest token alone.
      sampling: topP === 0 ? { temperature: 0, topP: 1, seed } : { temperature, topP, seed },
      signal,
    };
    const release = options.early ? 'early' : 'checked';
    const released = new ReleasedText(() => text.createWriter([], promptTokens), promptTokens.length, release);
    const report = new RouteReport(performance.now());
    let answer = '';
    let ended: Extract<AnswerEvent, { type: 'end' }> | null = null;
    const routes: Extract<AnswerEvent, { type: 'routed' }>[] = [];
    for await (const event of requester.openConversation({ manifest, digest }).generate(request)) {
      report.add(event, performance.now());
      const piece = released.take(event);
      answer += piece;
      if (!options.json) process.stdout.write(event.type === 'end' ? `${piece}\n` : piece);
      if (options.route) for (const line of describe(event, report)) process.stderr.write(`${line}\n`);
      if (event.type === 'routed') routes.push(event);
      if (event.type === 'end') ended = event;
    }
    if (ended === null) return;
    const { evidence } = ended;
    const { serverKey } = control;
    const made = await makeAskedReceipt({
      ...{ evidence, manifest, manifestDigest: digest, text, prompt: asking, answer, identity, serverKey },
    });
    // The verdict that others will read in the receipt, where there is one.
    const verdict = made instanceof ChorusError ? ended : { ...made.verdict, reason: ended.reason };
    process.stderr.write(`${describeChecks(verdict, released.summary)}\n`);
    const readers = countReaders(routes, released.summary);
    process.stderr.write(`${describeReaders(readers, routes)}\n`);
    if (options.json) {
      const { tier, counts } = verdict;
      const receipt = made instanceof ChorusError ? null : made.id;
      process.stdout.write(`${JSON.stringify({ answer, tier, counts, readers, receipt }, null, 2)}\n`);
    }
    const memoryFolder = options.remember ? options.memory : null;
    const hold =
      memoryFolder === null ? null : (note: string) => holdNewHead(note, serverUrl, { memoryFolder, signal });
    if (options.remember && hold === null) process.stderr.write(`log: ${NO_MEMORY}\n`);
    const { lines, isLogGood } = await keepReceipt(made, options, api, hold, signal);
    for (const line of lines) process.stderr.write(`${line}\n`);
    if (!isLogGood) process.exitCode = 1;
  } finally {
    close();
  }
}

function describe(event: AnswerEvent, report: RouteReport): string[] {
  switch (event.type) {
    case 'queued':
      return [`waiting for free volunteers, position ${event.position} in the queue`];
    case 'routed':
      return RouteReport.describeRoute(event);
    case 'rerouted':
      return [`another route: ${event.reason}`];
    case 'redrawn':
      return [
        `two volunteers agreed within limits but drew another token at position ${event.from}: the exact one's goes on`,
      ];
    case 'settling':
      return [`a difference at stage ${event.stage + 1}: asking a third volunteer (${event.role})`];
    case 'fault':
      return [RouteReport.describeFault(event)];
    case 'end':
      return report.describeEnd();
    case 'prompt':
    case 'token':
    case 'checked':
      return [];
  }
}

async function chooseModel(api: ServerApi, name: string | undefined, signal: AbortSignal) {
  const models = await api.fetchModels(signal);
  const model = name === undefined ? models[0] : models.find((each) => each.name === name);
  if (model) return model.digest;
  const names = models.map((each) => each.name).join(', ');
  const known = names === '' ? 'it has none' : `it has ${names}`;
  throw new ChorusError(
    'unknown-model',
    name === undefined ? 'the server has no model yet' : `the server has no model ${name}: ${known}`,
  );
}

/** A whole blob, each piece checked as it comes. */
async function fetchBlob(ref: BlobRef, api: ServerApi, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  for (const index of ref.pieces.keys()) {
    const { start, end } = pieceRange(ref, index);
    const piece = await api.fetchRange(ref.digest, start, end, signal);
    await checkPiece(ref, index, piece);
    pieces.push(piece);
  }
  return concatBytes(...pieces);
}
