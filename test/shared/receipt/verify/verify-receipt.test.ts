import { describe, expect, it } from 'vitest';
import { fromBase64, toBase64, utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { signReceipt } from '#shared/receipt/build/build-receipt.ts';
import { parseAttestation } from '#shared/receipt/evidence/attest.ts';
import type { ReceiptFile, ReceiptStatement } from '#shared/receipt/receipt.ts';
import type { CheckName } from '#shared/receipt/verify/check.ts';
import { verifyReceipt, type VerifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import {
  giveAnswer,
  keyText,
  logReceipt,
  makePeople,
  makeReceipt,
  OTHER_CLASS,
  policyOf,
  reattest,
  reroute,
  retold,
  statementOf,
} from '../../../support/receipts.ts';

const people = await makePeople();
const strangers = await makePeople();
const given = await giveAnswer(people);
const receipt = await makeReceipt(given);
const { answer, prompt, pieces, salt, tokens } = given;
const policy = policyOf(people);
const manifest = utf8(JSON.stringify(given.parts.manifest));

const verifyWith = (more: Partial<VerifyReceipt> = {}) =>
  verifyReceipt({ receipt, answer, prompt, pieces, salt, tokens, manifest, policy, verify, ...more });

async function failures(more: Partial<VerifyReceipt>): Promise<CheckName[]> {
  const { checks, isValid } = await verifyWith(more);
  const failed = checks.filter(({ status }) => status === 'failed').map(({ name }) => name);
  expect(isValid).toBe(failed.length === 0);
  return failed;
}

describe('an honest receipt', () => {
  it('passes every check where everything is at hand', async () => {
    const found = await verifyWith();
    // Its server has no log to draw from, and says so.
    expect(found.checks.filter(({ status }) => status !== 'passed').map(({ name }) => name)).toEqual(['draw']);
    expect(found.isValid).toBe(true);
    expect(found.checks).toHaveLength(22);
  });

  it('says that keys agreed, never that the work is right', async () => {
    const { proved, notProved } = await verifyWith();
    const all = [...proved, ...notProved].join('\n');
    expect(proved.some((line) => line.includes('two keys agreed bit for bit in 3 of 3 chunks'))).toBe(true);
    expect(proved.some((line) => line.includes('two keys agreed within tolerance'))).toBe(true);
    expect(notProved[0]).toContain('collusion of both is not excluded');
    expect(all).not.toContain('correct');
  });

  it('leaves what is not at hand unchecked, and says so', async () => {
    const bare: ReceiptFile = { ...receipt, proof: null };
    const found = await verifyReceipt({ receipt: bare, verify });
    expect(found.isValid).toBe(true);
    const open = found.checks.filter(({ status }) => status === 'not-checked').map(({ name }) => name);
    const log = ['log-entry', 'log-inclusion', 'log-signature', 'witnesses'];
    expect(open).toEqual(['answer', 'prompt', 'tokens', 'draw', 'model', ...log]);
    expect(found.notProved.some((line) => line.startsWith('That it was ever logged'))).toBe(true);
    expect(found.proved.some((line) => line.includes('answer at hand'))).toBe(false);
  });

  it('names those who are said to have witnessed it where no policy says who they are', async () => {
    const { checks, summary } = await verifyReceipt({ receipt, verify });
    expect(checks.find(({ name }) => name === 'log-inclusion')!.status).toBe('passed');
    const { status, detail } = checks.find(({ name }) => name === 'witnesses')!;
    expect([status, detail]).toEqual(['not-checked', expect.stringContaining('witness.example/two')]);
    expect(summary!.witnesses.map(({ name }) => name)).toEqual(['witness.example/one', 'witness.example/two']);
  });

  it('has a summary for a picture of it', async () => {
    const { summary, id } = await verifyWith();
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(summary).toMatchObject({ tier: 'checked', log: { origin: 'log.example/chorus', index: 3, size: 7 } });
    expect(summary!.stages.flatMap(({ replicas }) => replicas.map(({ hasSigned }) => hasSigned))).toEqual(
      Array(4).fill(true),
    );
    expect(summary!.witnesses).toHaveLength(2);
  });

  it('needs a proof where there is a policy', async () => {
    const failed = await failures({ receipt: { ...receipt, proof: null } });
    expect(failed).toEqual(['log-entry', 'log-inclusion', 'log-signature', 'witnesses']);
  });

  it('does not know the limits of another calibration', async () => {
    const { checks, isValid, notProved } = await verifyWith({ calibrations: [] });
    expect(isValid).toBe(true);
    expect(checks.find(({ name }) => name === 'thresholds')!.status).toBe('not-checked');
    expect(notProved).toContain('That the limits they were held to mean anything: they are the requester’s.');
  });

  it('is said to be of what its manifest names only where that is at hand', async () => {
    const claim = `The manifest at hand is the one it names: ${given.parts.manifest.name} `;
    const { proved } = await verifyWith();
    expect(proved.some((line) => line.startsWith(claim))).toBe(true);
    const without = await verifyReceipt({ receipt, verify });
    expect(without.proved.some((line) => line.startsWith('Its manifest'))).toBe(false);
    expect(without.notProved.some((line) => line.endsWith('the requester says so.'))).toBe(true);
  });

  it('is said to be in the log that the server names where the policy is the server’s', async () => {
    const { proved, notProved } = await verifyWith({ isPolicyOfServer: true });
    expect(proved.some((line) => line.startsWith('It is in the log that this server names: '))).toBe(true);
    expect(proved.some((line) => line.includes('log of the policy'))).toBe(false);
    expect(notProved.at(-1)).toContain('this server named their keys');
  });

  it('has each signature of a witness verified once', async () => {
    const keys = people.witnesses.map((witness) => keyText(witness));
    let times = 0;
    const { summary } = await verifyWith({
      verify: (key, ...signed) => {
        if (keys.includes(toBase64(key))) times++;
        return verify(key, ...signed);
      },
    });
    expect([times, summary!.witnesses.length]).toEqual([2, 2]);
  });

  it('is not said to be witnessed where the policy asks for nobody', async () => {
    const { checks, isValid, proved, notProved } = await verifyWith({
      policy: `${/^log .*\n/m.exec(policy)![0]}quorum none\n`,
    });
    expect(isValid).toBe(true);
    expect(checks.find(({ name }) => name === 'witnesses')!.status).toBe('not-checked');
    expect(proved.some((line) => line.startsWith("The log's state"))).toBe(false);
    expect(notProved.at(-1)).toContain('no witness of yours vouches for it');
  });
});

describe('the tokens at hand', () => {
  const claim = 'The tokens at hand are those that the first stage was fed.';

  it('are said to be those that were fed where the first stage signed it', async () => {
    expect((await verifyWith()).proved).toContain(claim);
  });

  it('are not checked where nobody of the first stage signed, and nothing is claimed of them', async () => {
    const silent = await retold(people, receipt, ({ predicate }) => {
      for (const replica of predicate.stages[0]!.replicas) replica.signed = null;
    });
    const { checks, proved } = await verifyWith({ receipt: silent });
    const { status, detail } = checks.find(({ name }) => name === 'tokens')!;
    expect([status, detail]).toEqual(['not-checked', expect.stringContaining('nobody of the first stage signed')]);
    expect(proved).not.toContain(claim);
  });

  it('are not claimed to be those that were fed by an attestation that its replica did not sign', async () => {
    const forged = await retold(people, receipt, ({ predicate }) => {
      for (const { signed } of predicate.stages[0]!.replicas) {
        signed!.attestation.signatures[0]!.sig = toBase64(new Uint8Array(64));
      }
    });
    const { checks, proved } = await verifyWith({ receipt: forged });
    expect(checks.find(({ name }) => name === 'attestation-signatures')!.status).toBe('failed');
    expect(proved).not.toContain(claim);
  });
});

describe('what is at hand', () => {
  it.each<[CheckName, Partial<VerifyReceipt>]>([
    ['answer', { answer: `${answer} ` }],
    ['prompt', { pieces: { ...pieces, pieces: [...pieces.pieces, { text: ' ', isMarker: false }] } }],
    ['prompt', { pieces: { ...pieces, isRendered: false } }],
    ['prompt', { pieces: { ...pieces, pieces: pieces.pieces.map((piece) => ({ ...piece, isMarker: false })) } }],
    ['tokens', { tokens: [...tokens.slice(0, -1), tokens.at(-1)! + 1] }],
    ['tokens', { tokens: tokens.slice(0, -1) }],
    ['model', { manifest: utf8('{}') }],
    ['model', { manifest: utf8(`${JSON.stringify(given.parts.manifest)} `) }],
    ['log-signature', { policy: policy.replace(/^log .*\n/, '') }],
    ['log-signature', { policy: policyOf(strangers).replace(/^(witness|group|quorum).*\n/gm, '') + 'quorum none\n' }],
    ['witnesses', { policy: policy.replace(/^witness w1.*/m, /^witness w1.*/m.exec(policyOf(strangers))![0]) }],
  ])('is compared: %s', async (name, more) => {
    expect(await failures(more)).toEqual([name]);
  });

  it('must belong to the salt', async () => {
    expect(await failures({ salt: new Uint8Array(32) })).toEqual(['prompt', 'tokens']);
    expect(await failures({ salt: new Uint8Array(8) })).toEqual(['prompt', 'tokens']);
  });

  it('must be a policy where it is given as one', async () => {
    expect(await failures({ policy: 'trust everybody' })).toEqual(['log-signature', 'witnesses']);
  });

  it('is no receipt where it is anything else', async () => {
    const others = [null, 1, 'x', [], {}, { ...receipt, format: 'chorus-receipt/3' }, { ...receipt, envelope: {} }];
    for (const value of others) {
      const found = await verifyReceipt({ receipt: value, verify });
      expect(found.checks[0]).toMatchObject({ name: 'format', status: 'failed' });
      expect([found.isValid, found.id, found.summary]).toEqual([false, null, null]);
    }
    const older = { ...receipt, format: 'chorus-receipt/1' };
    const empty = { ...receipt, envelope: { ...receipt.envelope, payload: '' } };
    for (const wrong of [older, empty]) {
      const [, second] = (await verifyReceipt({ receipt: wrong, verify })).checks;
      expect(second).toMatchObject({ name: 'statement', status: 'failed' });
    }
  });
});

type Statement = ReceiptStatement;
type Predicate = Statement['predicate'];
const saying =
  (change: (predicate: Predicate) => unknown) =>
  (statement: Statement): unknown =>
    change(statement.predicate);
const finding = ({ spans }: Predicate, stage: number) => spans[1]!.stages[stage]!.findings[0]!;
const other = 'cd'.repeat(32);
/** A third has settled what the last stage's replicas found of each other in one chunk. */
function settle({ spans, verdict }: Predicate, outcome: 'agreed' | 'suspect', by = 'ef'.repeat(32)): void {
  const span = spans[1]!;
  const stage = span.stages[1]!;
  span.tier = stage.tier = 'settled';
  stage.arbiter = { id: by as never, role: 'referee', numericClass: 'wasm', signed: null };
  const [found] = stage.findings;
  const { accept } = found!.limits;
  if (outcome === 'suspect')
    Object.assign(found!, { outcome, closeness: { ...found!.closeness, median: 2 * accept.median } });
  verdict.tier = 'settled';
  Object.assign(verdict.counts, { checked: spans.length - 1, settled: 1 });
}

describe('a requester that says one thing which is not so', () => {
  it.each<[string, CheckName[], (statement: Statement) => unknown]>([
    ['another answer', ['answer'], ({ subject }) => (subject[0]!.digest.sha256 = other)],
    ['that the subject is no answer', ['answer'], ({ subject }) => (subject[0]!.name = 'song')],
    ['another prompt', ['prompt'], saying(({ request }) => (request.prompt!.sha256 = other))],
    ['other tokens', ['tokens'], saying(({ request }) => (request.tokens.sha256 = other))],
    ['fewer tokens', ['tokens'], saying(({ request }) => (request.tokens.answer -= 2))],
    [
      'another type',
      ['statement'],
      (statement) => ((statement as { predicateType: string }).predicateType = 'https://x'),
    ],
    ['a field of a wrong form', ['statement'], saying((said) => (said.session = 'x' as Predicate['session']))],
    [
      'another key of its own',
      ['requester-signature', 'route-match'],
      saying(({ requester }) => (requester.id = other as never)),
    ],
    [
      'the key of another',
      ['requester-signature'],
      saying(({ requester }) => (requester.publicKey = keyText(people.server))),
    ],
    [
      'another model',
      ['route-match', 'model', 'attestation-match'],
      saying(({ model }) => (model.manifest.sha256 = other)),
    ],
    ['another runtime', ['model', 'attestation-match'], saying(({ model }) => (model.runtime.version = '9'))],
    ['another name of the model', ['model'], saying(({ model }) => (model.name = 'owl'))],
    ['other files of the model', ['model'], saying(({ model }) => (model.root.sha256 = other))],
    ['a finer quantization', ['model'], saying(({ model }) => (model.quantization = 'fp32-fine'))],
    ['more layers', ['model', 'coverage', 'thresholds'], saying(({ model }) => (model.layers += 1))],
    [
      'another session',
      ['route-match', 'attestation-match'],
      saying((said) => (said.session = 'ab'.repeat(16) as never)),
    ],
    [
      'the route of another server',
      ['route-signature'],
      saying(({ route }) => (route.serverKey = keyText(people.log))),
    ],
    [
      'a route changed on the way',
      ['route-signature'],
      saying(
        ({ route }) =>
          (route.envelope.signatures[0]!.sig = route.envelope.signatures[0]!.sig.replace(/^./, (c) =>
            c === 'A' ? 'B' : 'A',
          )),
      ),
    ],
    [
      'no route at all',
      ['route-signature', 'route-match', 'times'],
      saying(({ route }) => (route.envelope.payload = 'e30=')),
    ],
    [
      'another range',
      ['route-match', 'attestation-match', 'coverage'],
      saying(({ stages }) => (stages[0]!.range.end = 3)),
    ],
    [
      'another class',
      ['route-match', 'attestation-match', 'thresholds'],
      saying(({ stages }) => (stages[1]!.replicas[1]!.numericClass = 'wasm')),
    ],
    [
      'another replica',
      ['route-match', 'attestation-match', 'verdict', 'thresholds'],
      saying(({ stages }) => (stages[0]!.replicas[1]!.id = other as never)),
    ],
    [
      'a role it had not',
      ['route-match', 'attestation-match', 'chains', 'verdict'],
      saying(({ stages }) => (stages[0]!.replicas[1]!.role = 'primary')),
    ],
    [
      'that a shadow was not there',
      ['route-match', 'verdict', 'thresholds'],
      saying(({ stages }) => stages[1]!.replicas.pop()),
    ],
    [
      'that nobody signed',
      ['verdict'],
      saying(({ stages }) => stages[0]!.replicas.forEach((replica) => (replica.signed = null))),
    ],
    [
      'what a replica did not sign',
      ['attestation-match'],
      saying(({ stages }) => (stages[0]!.replicas[1]!.signed = stages[0]!.replicas[0]!.signed)),
    ],
    [
      'no attestation',
      ['attestation-signatures', 'verdict'],
      saying(({ stages }) => (stages[0]!.replicas[1]!.signed!.attestation.payload = 'e30=')),
    ],
    ['other runs', ['chains'], saying(({ runs }) => ((runs[0]!.count = 16), (runs[0]!.times = 2)))],
    ['runs with a gap', ['chains', 'coverage', 'verdict'], saying(({ runs }) => (runs[1]!.start += 1))],
    [
      'more positions',
      ['tokens', 'attestation-match', 'chains', 'coverage', 'verdict'],
      saying((said) => (said.positions += 1)),
    ],
    ['a gap in the spans', ['coverage'], saying((said) => said.spans.splice(1, 1))],
    ['a span without a stage', ['coverage'], saying(({ spans }) => spans[0]!.stages.pop())],
    ['more spans of a tier', ['coverage'], saying(({ verdict }) => (verdict.counts.checked += 1))],
    ['a better tier', ['verdict'], saying(({ spans }) => (spans[0]!.stages[0]!.tier = 'unchecked'))],
    ['a worse tier', ['verdict'], saying(({ verdict }) => (verdict.tier = 'disputed'))],
    ['an agreement that was none', ['verdict'], saying((said) => (finding(said, 1).outcome = 'suspect'))],
    [
      'an agreement by a stranger',
      ['verdict', 'thresholds'],
      saying((said) => (finding(said, 1).shadow = other as never)),
    ],
    [
      'an agreement within limits between two of the engine',
      ['route-match', 'attestation-match', 'verdict', 'thresholds'],
      saying(({ stages }) => stages[1]!.replicas.forEach((replica) => (replica.numericClass = ENGINE_CLASS))),
    ],
    [
      'that two which are equal bit for bit were of the engine',
      ['route-match', 'attestation-match', 'thresholds'],
      saying(({ stages }) => stages[0]!.replicas.forEach((replica) => (replica.numericClass = ENGINE_CLASS))),
    ],
    ['an agreement beyond its limits', ['verdict'], saying((said) => (finding(said, 1).closeness.median = 0.5))],
    ['equal bits with a difference', ['verdict'], saying((said) => (finding(said, 0).closeness.max = 1e-9))],
    [
      'equal bits where two signed others',
      ['chains'],
      saying((said) => Object.assign(finding(said, 1), { isExact: true, closeness: finding(said, 0).closeness })),
    ],
    [
      'a settlement by nobody',
      ['coverage', 'verdict'],
      saying(({ spans }) => ((spans[0]!.stages[0]!.tier = 'settled'), (spans[0]!.tier = 'settled'))),
    ],
    ['a settlement where nobody differed', ['verdict'], saying((said) => settle(said, 'agreed'))],
    [
      'a settlement for a key that signed nothing',
      ['verdict'],
      saying((said) => (settle(said, 'suspect'), (said.stages[1]!.replicas[0]!.signed = null))),
    ],
    ['limits of its own', ['thresholds'], saying((said) => (finding(said, 1).limits.accept.median *= 2))],
    ['limits of another pair', ['thresholds'], saying((said) => (finding(said, 1).limits.pair = 'wasm + wasm'))],
    ['that it ended before it began', ['times'], saying((said) => (said.startedAt = '2026-03-01T12:01:00Z'))],
    [
      'that it ended before the route',
      ['times'],
      saying((said) => (said.startedAt = said.finishedAt = '2026-03-01T11:00:00Z')),
    ],
    [
      'that it ended after it was witnessed',
      ['witnesses'],
      saying((said) => (said.finishedAt = '2026-03-01T12:05:00Z')),
    ],
  ])('fails by name: %s', async (_, names, change) => {
    expect(await failures({ receipt: await retold(people, receipt, change) })).toEqual(names);
  });
});

it('holds where a third settled a difference, for a key that signed, and not where a party did', async () => {
  const told = (by: string) => retold(people, receipt, ({ predicate }) => settle(predicate, 'suspect', by));
  expect(await failures({ receipt: await told('ef'.repeat(32)) })).toEqual([]);
  for (const { id } of people.replicas.slice(2))
    expect(await failures({ receipt: await told(id) })).toContain('verdict');
});

describe('a replica that signs something else', () => {
  it.each<[string, CheckName[], Parameters<typeof reattest>[3]]>([
    ['another session', ['attestation-match'], ({ predicate }) => (predicate.session = 'ab'.repeat(16) as never)],
    ['another stage', ['attestation-match'], ({ predicate }) => (predicate.stage = 1)],
    ['another range', ['attestation-match'], ({ predicate }) => (predicate.range.end = 3)],
    ['another role', ['attestation-match'], ({ predicate }) => (predicate.role = 'replay')],
    ['another model', ['attestation-match'], ({ predicate }) => (predicate.model = other as never)],
    ['another class', ['attestation-match'], ({ predicate }) => (predicate.numericClass = OTHER_CLASS)],
    ['another runtime', ['attestation-match'], ({ predicate }) => (predicate.runtime.name = 'abacus')],
    ['fewer positions', ['attestation-match'], ({ predicate }) => (predicate.positions -= 1)],
    ['fewer outputs', ['attestation-match', 'chains'], ({ predicate }) => predicate.outputs.shift()],
    ['another subject', ['attestation-match'], ({ subject }) => (subject[0]!.digest.sha256 = other)],
    ['another name', ['attestation-match'], ({ subject }) => (subject[0]!.name = 'stage 1 output')],
    ['another input', ['tokens', 'chains'], ({ predicate }) => (predicate.input.sha256 = other)],
    ['another output of a chunk', ['chains'], ({ predicate }) => (predicate.outputs[0]!.sha256 = other)],
    ['another time', ['times'], ({ predicate }) => (predicate.attestedAt = '2026-03-01T13:00:00Z')],
    [
      'no statement',
      ['attestation-signatures', 'verdict'],
      (attestation) => ((attestation as { _type: string })._type = 'x'),
    ],
  ])('fails by name: %s', async (_, names, change) => {
    const forged = await retold(people, receipt, (statement) => reattest(people, statement, [0, 1], change));
    expect(await failures({ receipt: forged })).toEqual(names);
  });

  it('fails where a stage took in something else than the one before it gave', async () => {
    const forged = await retold(people, receipt, async (statement) => {
      for (const place of [0, 1])
        await reattest(people, statement, [1, place], ({ predicate }) => (predicate.input.sha256 = other));
    });
    expect(await failures({ receipt: forged })).toEqual(['chains']);
  });

  it('fails where a primary ran in other runs', async () => {
    const change: Parameters<typeof reattest>[3] = ({ predicate }) => (predicate.runs.sha256 = other);
    const forged = await retold(people, receipt, (statement) => reattest(people, statement, [1, 0], change));
    expect(await failures({ receipt: forged })).toEqual(['chains']);
  });

  it('fails where two of the runtime’s class ran alike, differ, and are said to agree', async () => {
    const forged = await retold(people, receipt, async (statement) => {
      const { stages, spans } = statement.predicate;
      const { payload } = stages[0]!.replicas[0]!.signed!.attestation;
      const { runs } = parseAttestation(fromBase64(payload)).predicate;
      const changed = statement.predicate.spans.map(({ stages }) => stages[0]!.findings[0]!);
      for (const each of changed)
        Object.assign(each, { isExact: false, closeness: { ...each.closeness, median: 1e-9 } });
      await reattest(people, statement, [0, 1], ({ subject, predicate }) => {
        Object.assign(predicate, { runs });
        for (const output of predicate.outputs) output.sha256 = other;
        subject[0]!.digest.sha256 = other;
      });
      expect(spans).toHaveLength(3);
    });
    expect(await failures({ receipt: forged })).toEqual(['chains']);
  });
});

describe('a server that signed another route', () => {
  it.each<[string, CheckName[], Parameters<typeof reroute>[2]]>([
    ['for a replay', ['route-match'], (route) => (route.purpose = 'replay')],
    ['for another requester', ['route-match'], (route) => (route.requester.id = other as never)],
    ['for fewer positions', ['route-match'], (route) => (route.capacity = 8)],
    ['with another key', ['route-match'], (route) => (route.stages[0]!.primary.id = other as never)],
    ['with other layers', ['route-match'], (route) => (route.stages[0]!.range.end = 3)],
    ['with one stage more', ['route-match'], (route) => route.stages.push(route.stages[1]!)],
    ['for later', ['times'], (route) => ((route.issuedAtMs += 3_600_000), (route.expiresAtMs += 3_600_000))],
  ])('fails by name: %s', async (_, names, change) => {
    const forged = await retold(people, receipt, (statement) => reroute(people, statement, change));
    expect(await failures({ receipt: forged })).toEqual(names);
  });
});

describe('a proof', () => {
  it('is for one receipt', async () => {
    const twin = await signReceipt({ ...statementOf(receipt) }, people.requester);
    const second = await retold(
      people,
      receipt,
      saying(({ request }) => (request.nonce = '00'.repeat(16))),
    );
    expect(await failures({ receipt: { ...second, proof: (await logReceipt(people, twin)).proof } })).toEqual([
      'log-inclusion',
    ]);
  });

  it('is by the log of the policy', async () => {
    const { proof } = await logReceipt(strangers, receipt);
    expect(await failures({ receipt: { ...receipt, proof } })).toEqual(['log-signature', 'witnesses']);
  });

  it('is a proof', async () => {
    const log = ['log-inclusion', 'log-signature', 'witnesses'];
    expect(await failures({ receipt: { ...receipt, proof: 'a proof' } })).toEqual(log);
  });
});
