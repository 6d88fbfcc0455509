import { toHex, utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import { treeRoot } from '#shared/log/merkle.ts';
import { formatVerifierKey } from '#shared/log/signed-note.ts';
import { MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import { receiptId } from '#shared/receipt/read-receipt.ts';
import type { MadeReceipts } from './made-receipts.ts';
import { giveAnswer, LOG_NAME, logReceipt, makePeople, makeReceipt, policyOf, retold, WITNESSES } from './receipts.ts';
import { checkpointNote, logKeyOf, treeOf, witnessKeyOf } from './signed-notes.ts';

/** Makes receipts for the page's tests and prints them as JSON: they need files of a model, which a page has not. */
const people = await makePeople();
const given = await giveAnswer(people);
const receipt = await makeReceipt(given);
const { evidence } = given.parts;
const bare = evidence.spans.map((span, i) =>
  i % 2 === 0
    ? span
    : {
        ...span,
        tier: 'unchecked' as const,
        stages: span.stages.map((stage) => ({ ...stage, tier: 'unchecked' as const, findings: [] })),
      },
);
const checked = bare.filter(({ tier }) => tier === 'checked').length;
const counts = { checked, settled: 0, unchecked: bare.length - checked, disputed: 0 };
const unchecked = await makeReceipt({
  ...given,
  parts: { ...given.parts, evidence: { ...evidence, spans: bare, tier: 'unchecked', counts } },
});
const improved = await retold(people, receipt, ({ predicate }) => {
  predicate.stages[1]!.replicas[1]!.id = people.requester.id;
});
const another = await logReceipt(people, { ...receipt, proof: null }, 400);

const entries = (size: number, word: string) => Array.from({ length: size }, (_, i) => utf8(`${word} ${i}\n`));
const noteOf = (size: number, word = 'entry') =>
  checkpointNote(people.log, { origin: LOG_NAME, size, root: treeRoot(size, treeOf(entries(size, word))) });

const made: MadeReceipts = {
  id: receiptId(receipt),
  receipt,
  unchecked,
  improved,
  another,
  manifest: await signEnvelope(people.server, MANIFEST_PAYLOAD_TYPE, utf8(JSON.stringify(given.parts.manifest))),
  manifestDigest: given.parts.manifestDigest,
  policy: policyOf(people),
  answer: given.answer,
  prompt: given.prompt,
  salt: toHex(given.salt),
  tokens: given.tokens,
  logKey: formatVerifierKey(logKeyOf(people.log, LOG_NAME)),
  witnessKeys: people.witnesses.map((each, i) => formatVerifierKey(witnessKeyOf(each, WITNESSES[i]!))),
  notes: { short: await noteOf(3), forked: await noteOf(3, 'other'), long: await noteOf(9) },
};
process.stdout.write(JSON.stringify(made));
