import { readdirSync, readFileSync } from 'node:fs';
import { Session, type Profiler } from 'node:inspector';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import type { Ask } from '#shared/ask.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { EngineLoop } from '#shared/peer/engine-loop.ts';
import { Conversation } from '#shared/peer/requester/conversation.ts';
import { RequesterEngine } from '#shared/requester/engine/requester-engine.ts';
import type { RequesterEffect, RequesterEffects } from '#shared/requester/requester-event.ts';
import { checkedNetwork, prompt } from '../support/checked-network.ts';
import { GREEDY } from '../support/toy-model.ts';

/**
 * `npx tsx test/bench/lap.ts`: what one token costs a reader of the requester. A toy network makes a checked answer; V8 counts
 * the calls while the conversation's engine loop handles an event, and its engine a reply, and at no other time, so that
 * nothing of the volunteers in the same thread is in it. Two stretches are measured, in the middle of the answer:
 *
 * - one lap: the logits of one position come, a token is drawn from them and sent, within a span;
 * - one span: from the lap that ends it to its verdict, with all its commits, challenges and reveals and the laps between.
 *
 * A file counts if a function of it was called. Machines are the classes under `shared/requester`; one owns another if it
 * makes it (`new`). Unions are the exported types there that are named `…Event`, `…Effect`, `…Reply`, `…News` or `…Out` and have
 * members that are told apart by `type`.
 */
const root = fileURLToPath(new URL('../../', import.meta.url));
const REQUESTER = 'shared/requester/';
const PROMPT = 8;

/** Files under `shared`, with the names of the functions in each that were called. */
type Calls = Map<string, Set<string>>;

class CallCounter {
  readonly #session = new Session();
  #calls: Calls | null = null;

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  start(): void {
    this.#calls = new Map();
  }

  stop(): Calls {
    const calls = this.#calls ?? new Map<string, Set<string>>();
    this.#calls = null;
    return calls;
  }

  /** Runs `act`, and counts what it calls while counting is on. */
  during(act: () => void): void {
    this.#take();
    try {
      act();
    } finally {
      const result = this.#take();
      for (const script of this.#calls === null ? [] : result) this.#add(script);
    }
  }

  #add({ url, functions }: Profiler.ScriptCoverage): void {
    if (!url.startsWith('file://')) return;
    const path = relative(root, fileURLToPath(url.replace(/\?.*$/, '')));
    if (!path.startsWith('shared/')) return;
    const called = functions.filter(({ ranges }) => ranges[0]!.count > 0).map(({ functionName }) => functionName);
    if (called.length === 0) return;
    const before = this.#calls!.get(path) ?? new Set();
    this.#calls!.set(path, new Set([...before, ...called]));
  }

  #take(): Profiler.ScriptCoverage[] {
    let scripts: Profiler.ScriptCoverage[] = [];
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error !== null) throw error;
      scripts = answer.result;
    });
    return scripts;
  }
}

/** Counts what the loops of conversations handle. */
function watchLoops(counter: CallCounter): void {
  const loops = new Set<unknown>();
  let isOfConversation = false;
  const { take } = Conversation.prototype;
  Conversation.prototype.take = function (event) {
    isOfConversation = true;
    take.call(this, event);
    isOfConversation = false;
  };
  // Replies to what the engine asked come later, and from within its loop.
  const { handle } = RequesterEngine.prototype;
  const counted = (effects: RequesterEffects): RequesterEffects =>
    effects.map((effect) => (effect.type === 'ask' ? { ...effect, then: heard(effect.then) } : effect));
  const heard = (then: Ask<RequesterEffect>['then']): typeof then => {
    return (reply, now) => {
      let effects: RequesterEffects = [];
      counter.during(() => (effects = then(reply, now)));
      return counted(effects);
    };
  };
  RequesterEngine.prototype.handle = function (event, now) {
    return counted(handle.call(this, event, now));
  };
  const { dispatch } = EngineLoop.prototype;
  EngineLoop.prototype.dispatch = function (event) {
    if (isOfConversation) loops.add(this);
    if (!loops.has(this)) return dispatch.call(this, event);
    counter.during(() => dispatch.call(this, event));
  };
}

async function measure(): Promise<{ readonly lap: Calls; readonly span: Calls }> {
  const counter = new CallCounter();
  watchLoops(counter);
  const network = checkedNetwork();
  let lap: Calls = new Map();
  let span: Calls = new Map();
  const end = 3 * CHUNK_POSITIONS;
  // A token is told of while its own lap is being handled: what is counted begins with what comes next.
  const at = new Map([
    [end - 13, () => counter.start()],
    [end - 12, () => (lap = counter.stop())],
    [end - 1, () => counter.start()],
  ]);
  const request = { promptTokens: prompt(PROMPT), maxNewTokens: 4 * CHUNK_POSITIONS, sampling: GREEDY };
  await network.ask(network.conversation(), request, (event) => {
    if (event.type === 'token') at.get(event.position)?.();
    if (event.type === 'checked' && event.check.end === end) span = counter.stop();
  });
  return { lap, span };
}

interface Machine {
  readonly name: string;
  readonly path: string;
  readonly owned: readonly string[];
}

interface Sources {
  readonly machines: readonly Machine[];
  readonly unions: readonly string[];
}

function readSources(): Sources {
  const paths = readdirSync(`${root}${REQUESTER}`, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => `${REQUESTER}${path}`);
  const files = paths.map((path) =>
    ts.createSourceFile(path, readFileSync(`${root}${path}`, 'utf8'), ts.ScriptTarget.ES2023),
  );
  const machines = files.flatMap((file) =>
    file.statements.filter(ts.isClassDeclaration).map((declaration) => ({
      name: declaration.name!.text,
      path: file.fileName,
      owned: madeIn(declaration),
    })),
  );
  const unions = files.flatMap((file) =>
    file.statements
      .filter(ts.isTypeAliasDeclaration)
      .filter(({ type, name }) => ts.isUnionTypeNode(type) && /(Event|Effect|Reply|News|Out)$/.test(name.text))
      .map(({ name }) => name.text),
  );
  return { machines, unions };
}

/** Names of the classes that are made in it. */
function madeIn(node: ts.Node): string[] {
  const names: string[] = [];
  const visit = (child: ts.Node): void => {
    if (ts.isNewExpression(child) && ts.isIdentifier(child.expression)) names.push(child.expression.text);
    ts.forEachChild(child, visit);
  };
  visit(node);
  return names;
}

/** The longest chain of machines that own each other, from the engine down. */
function longestChain(machines: readonly Machine[], name = 'RequesterEngine'): string[] {
  const machine = machines.find((each) => each.name === name);
  if (machine === undefined) return [];
  const chains = machine.owned.map((owned) => longestChain(machines, owned));
  return [name, ...chains.reduce((longest, chain) => (chain.length > longest.length ? chain : longest), [])];
}

function report(title: string, calls: Calls, { machines }: Sources): void {
  const files = [...calls.keys()].sort();
  const own = files.filter((path) => path.startsWith(REQUESTER));
  const others = files.filter((path) => !path.startsWith(REQUESTER));
  const chain = longestChain(machines.filter(({ path }) => own.includes(path)));
  console.log(
    `\n${title}: ${own.length} files of ${REQUESTER}, ${others.length} others of shared; ${chain.length} machines deep`,
  );
  for (const path of own) console.log(`  ${path}`);
  console.log(`  others: ${others.map((path) => path.slice('shared/'.length)).join(', ')}`);
  console.log(`  deepest: ${chain.join(' > ')}`);
}

const sources = readSources();
const { lap, span } = await measure();
report('one lap', lap, sources);
report('one span', span, sources);
const deepest = longestChain(sources.machines);
console.log(`\nanywhere: ${deepest.length} machines deep: ${deepest.join(' > ')}`);
console.log(`event and effect unions: ${sources.unions.length}: ${sources.unions.join(', ')}`);
