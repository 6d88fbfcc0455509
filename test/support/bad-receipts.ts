import { toBase64, utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE } from '#shared/crypto/envelope.ts';
import { attestationStatement } from '#shared/receipt/evidence/attest.ts';
import type { ReceiptFile, ReceiptStatement } from '#shared/receipt/receipt.ts';
import { ROUTE_PAYLOAD_TYPE } from '#shared/route/route.ts';
import { CHAIN_START } from '#shared/rows/row-chain.ts';
import type { VectorGiven } from './receipt-vectors.ts';
import {
  ISSUED_AT_MS,
  keyText,
  logReceipt,
  reattest,
  reroute,
  retold,
  statementOf,
  type GivenAnswer,
  type People,
} from './receipts.ts';

type Predicate = ReceiptStatement['predicate'];
type Change = (statement: ReceiptStatement) => unknown;
type Case = [string, unknown, Partial<VectorGiven>?];

const OTHER = 'cd'.repeat(32);
const saying =
  (change: (predicate: Predicate) => unknown): Change =>
  ({ predicate }) =>
    change(predicate);
const finding = ({ spans }: Predicate, span: number, stage: number) => spans.at(span)!.stages[stage]!.findings[0]!;

/** Says of the last stage of the last span that a third settled it. */
function settled(predicate: Predicate, change: (stage: Predicate['spans'][number]['stages'][number]) => unknown): void {
  const span = predicate.spans.at(-1)!;
  const stage = span.stages[1]!;
  span.tier = stage.tier = 'settled';
  stage.arbiter = { id: 'ef'.repeat(32) as never, role: 'referee', numericClass: 'wasm', signed: null };
  change(stage);
  const checked = predicate.spans.length - 1;
  predicate.verdict = { tier: 'settled', counts: { checked, settled: 1, unchecked: 0, disputed: 0 } };
}

/** One thing that is not so in each, over good signatures of whoever says it. */
const CHANGES: readonly [string, Change][] = [
  ['another answer', ({ subject }) => (subject[0]!.digest.sha256 = OTHER)],
  ['another hash of the prompt’s pieces', saying(({ request }) => (request.prompt!.sha256 = OTHER))],
  ['another hash of the prompt’s text', saying(({ request }) => (request.prompt!.text = OTHER))],
  ['other tokens', saying(({ request }) => (request.tokens.sha256 = OTHER))],
  ['other tokens that were fed', saying(({ request }) => (request.tokens.fed = OTHER))],
  ['a temperature beyond its range', saying(({ request }) => (request.sampling.temperature = 2.5))],
  ['a top-p of 0', saying(({ request }) => (request.sampling.topP = 0))],
  ['a seed that is no whole number', saying(({ request }) => (request.sampling.seed = 0.5))],
  ['fewer tokens asked for than were given', saying(({ request }) => (request.sampling.maxNewTokens = 1))],
  ['no seed for what was compared', saying(({ request }) => (request.seedCommitment = null))],
  ['another session', saying((said) => (said.session = 'ab'.repeat(16) as never))],
  ['another number of the record', saying((said) => (said.record!.number = 2))],
  ['a record 0', saying((said) => (said.record!.number = 0))],
  ['no number of the record', saying((said) => delete (said as { record?: unknown }).record)],
  ['the key of another', saying(({ requester }) => (requester.publicKey = keyText(OTHERS.requester)))],
  ['another model', saying(({ model }) => (model.manifest.sha256 = OTHER))],
  ['another name of the model', saying(({ model }) => (model.name = 'owl'))],
  ['another range of layers', saying(({ stages }) => (stages[0]!.range.end = 3))],
  ['another class', saying(({ stages }) => (stages[1]!.replicas[1]!.numericClass = 'wasm'))],
  ['another shadow', saying(({ stages }) => (stages[0]!.replicas[1]!.id = OTHER as never))],
  ['a gap in the spans', saying((said) => said.spans.splice(0, 1))],
  ['a span across two chunks', saying(acrossChunks)],
  ['other runs', saying(({ runs }) => (runs.at(-1)!.count = 2))],
  ['a better tier of the whole', saying(({ spans }) => (spans[0]!.stages[0]!.tier = 'unchecked'))],
  ['a count more', saying(({ verdict }) => (verdict.counts.checked += 1))],
  ['checked, and the shadow signed nothing', saying(({ stages }) => (stages[0]!.replicas[1]!.signed = null))],
  ['unchecked without a reason', saying((said) => lower(said, null))],
  ['unchecked for a reason that is not so', saying((said) => lower(said, 'alone'))],
  ['disputed where nobody differed', saying((said) => dispute(said))],
  ['equal chains that are said to differ, and to be settled', saying((said) => differEqually(said, 'rejected'))],
  ['equal chains that are said to differ a little', saying((said) => nearlyEqually(said))],
  ['equal bits where two signed others', saying((said) => Object.assign(finding(said, -1, 1), exact(said)))],
  [
    'a rejection whose numbers agree',
    saying((said) => settled(said, ({ findings: [found] }) => (found!.outcome = 'rejected'))),
  ],
  ['settled where nobody differed', saying((said) => settled(said, () => undefined))],
  [
    'settled by a third that did not sign, for a shadow that did not either',
    saying((said) => {
      settled(said, ({ findings: [found] }) => doubt(found!));
      said.stages[1]!.replicas[1]!.signed = null;
    }),
  ],
  ['an agreement beyond its limits', saying((said) => (finding(said, -1, 1).closeness.median = 0.5))],
  ['wider limits', saying((said) => (finding(said, -1, 1).limits.accept.median *= 2))],
  [
    'limits of a calibration that nobody has',
    saying((said) => {
      said.thresholds.sha256 = OTHER;
      for (const { stages } of said.spans) for (const { findings } of stages) for (const each of findings) loosen(each);
    }),
  ],
  [
    'limits that nobody measured, and that are not the cautious ones',
    saying((said) => {
      said.thresholds.sha256 = OTHER;
      finding(said, -1, 1).limits.isMeasured = false;
    }),
  ],
  ['a fault proven of a primary that the answer rests on', saying((said) => said.faults.push(faultOf(said)))],
  ['that it began before its route', saying((said) => (said.startedAt = '2026-03-01T11:00:00Z'))],
  ['that it ended before it began', saying((said) => (said.startedAt = '2026-03-01T12:01:00Z'))],
  ['that it ended after it was witnessed', saying((said) => (said.finishedAt = '2026-03-01T12:05:00Z'))],
];

function acrossChunks({ spans, verdict }: Predicate): void {
  const [first, second] = spans.splice(0, 2);
  spans.unshift({ ...second!, start: first!.start });
  verdict.counts.checked = spans.length;
}

function lower({ spans, verdict }: Predicate, reason: 'alone' | null): void {
  const span = spans.at(-1)!;
  span.tier = 'unchecked';
  Object.assign(span.stages[1]!, { tier: 'unchecked', reason });
  verdict.tier = 'unchecked';
  Object.assign(verdict.counts, { checked: spans.length - 1, unchecked: 1 });
}

function dispute({ spans, verdict }: Predicate): void {
  const span = spans.at(-1)!;
  span.tier = span.stages[1]!.tier = 'disputed';
  verdict.tier = 'disputed';
  Object.assign(verdict.counts, { checked: spans.length - 1, disputed: 1 });
}

const far = { median: 1, p95: 1, max: 1, bias: 1, norm: 1, tokenGap: 0 };
const exact = (said: Predicate) => ({ isExact: true, closeness: finding(said, 0, 0).closeness });

function differEqually(predicate: Predicate, outcome: 'rejected'): void {
  const span = predicate.spans.at(-1)!;
  const stage = span.stages[0]!;
  Object.assign(stage.findings[0]!, { outcome, isExact: false, closeness: far });
  span.tier = stage.tier = 'settled';
  stage.arbiter = { id: 'ef'.repeat(32) as never, role: 'arbiter', numericClass: 'wasm', signed: null };
  const checked = predicate.spans.length - 1;
  predicate.verdict = { tier: 'settled', counts: { checked, settled: 1, unchecked: 0, disputed: 0 } };
}

function nearlyEqually(predicate: Predicate): void {
  const found = finding(predicate, -1, 0);
  Object.assign(found, { isExact: false, closeness: { ...found.closeness, median: 1e-9 } });
}

function doubt(found: ReturnType<typeof finding>): void {
  found.outcome = 'suspect';
  found.closeness.median = 2 * found.limits.accept.median;
}

function loosen({ limits }: ReturnType<typeof finding>): void {
  for (const key of ['median', 'p95', 'max', 'bias'] as const) limits.accept[key] = limits.reject[key] = 10;
}

const faultOf = ({ stages }: Predicate) => ({
  volunteer: stages[0]!.replicas[0]!.id,
  stage: 0,
  role: 'primary' as const,
  code: 'disagreement',
  isProven: true,
});

/** Those whose keys a liar borrows. */
const OTHERS = {} as { requester: People['server'] };

/** Receipts that do not hold, each with what it is given beside the rest. */
export async function badReceipts(people: People, answered: GivenAnswer, receipt: ReceiptFile): Promise<Case[]> {
  OTHERS.requester = people.server;
  const cases: Case[] = [];
  for (const [name, change] of CHANGES) cases.push([name, await retold(people, receipt, change)]);
  const text = JSON.stringify(statementOf(receipt));
  const signed = async (name: string, bytes: string): Promise<void> => {
    const envelope = await signEnvelope(people.requester, STATEMENT_PAYLOAD_TYPE, utf8(bytes));
    const file: ReceiptFile = { format: 'chorus-receipt/2', envelope, proof: null };
    cases.push([name, await logReceipt(people, file).catch(() => ({ ...file, proof: receipt.proof }))]);
  };
  await signed('a key twice', text.replace('{', '{"subject":[],'));
  await signed('a key twice, once with an escape', text.replace('{', '{"sub\\u006aect":[],'));
  await signed('a byte order mark before the payload', `\ufeff${text}`);
  await signed('half of a surrogate pair', text.replace('{', '{"more":"\\ud800",'));
  await signed('a whole number beyond 2^53', text.replace(/"seed":\d+/, '"seed":9007199254740993'));
  await signed('too many levels', text.replace('{', `{"deep":${'['.repeat(65)}${']'.repeat(65)},`));
  const attested = async (name: string, place: 0 | 1, change: Parameters<typeof reattest>[3]): Promise<void> => {
    cases.push([name, await retold(people, receipt, (statement) => reattest(people, statement, [0, place], change))]);
  };
  await attested('a replica that signed another record', 1, ({ predicate }) => (predicate.record = 2));
  await attested('a replica with an engine that its class has not', 1, ({ predicate }) => {
    predicate.engine = { sha256: OTHER };
  });
  await attested('a shadow that was fed something else', 1, ({ predicate }) => (predicate.input.sha256 = OTHER));
  await attested('a primary that ran in other runs', 0, ({ predicate }) => (predicate.runs.sha256 = OTHER));
  await attested(
    'a replica that signed long after',
    1,
    ({ predicate }) => (predicate.attestedAt = '2026-03-01T12:08:00Z'),
  );
  cases.push([
    'a route for another requester',
    await retold(people, receipt, (statement) =>
      reroute(people, statement, (route) => (route.requester.id = OTHER as never)),
    ),
  ]);
  cases.push([
    'a third that signed over no route of the server',
    await retold(people, receipt, thirdOf(people, answered)),
  ]);
  cases.push(['the format of version 1', { ...receipt, format: 'chorus-receipt/1' }]);
  cases.push(['a proof of another place', { ...receipt, proof: receipt.proof!.replace('index 3', 'index 2') }]);
  cases.push(['another prompt of the same text', receipt, { secrets: withPlainPrompt(answered) }]);
  return cases;
}

/** A prompt of which every marker is only spelt. */
function withPlainPrompt({ salt, prompt, tokens }: GivenAnswer): unknown {
  return {
    format: 'chorus-receipt-secrets/2',
    salt: Buffer.from(salt).toString('hex'),
    prompt: { isRendered: true, pieces: [{ text: prompt }] },
    tokens,
  };
}

/** A third whose route somebody else has signed. */
function thirdOf(people: People, { parts }: GivenAnswer): Change {
  return async ({ predicate }) => {
    const { route } = parts.evidence;
    const third = people.witnesses[0];
    const [, assigned] = route.stages;
    const primary = { ...assigned!.primary, id: third.id };
    const replay = {
      ...route,
      ...{ session: 'ba'.repeat(16), purpose: 'replay' as const, stages: [{ ...assigned!, primary, shadows: [] }] },
    };
    const at = () => CHAIN_START;
    const payload = attestationStatement(
      {
        ...{
          session: replay.session as typeof route.session,
          stage: 0,
          range: assigned!.range,
          role: 'replay',
          record: 1,
        },
        ...{
          model: route.model,
          numericClass: 'wasm',
          runtime: predicate.model.runtime,
          positions: predicate.positions,
        },
        ...{ inputAt: at, outputAt: at, runsAt: at },
      },
      parts.evidence.salt,
      ISSUED_AT_MS + 9_500,
    );
    const signed = {
      publicKey: toBase64(third.publicKey),
      attestation: await signEnvelope(third, STATEMENT_PAYLOAD_TYPE, payload),
      route: await signEnvelope(people.log, ROUTE_PAYLOAD_TYPE, utf8(JSON.stringify(replay))),
    };
    settled(predicate, (stage) => {
      doubt(stage.findings[0]!);
      stage.arbiter = { id: third.id, role: 'referee', numericClass: 'wasm', signed };
    });
  };
}
