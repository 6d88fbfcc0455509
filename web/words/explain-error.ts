import type { ChorusError, ErrorCode } from '#shared/errors.ts';
import { formatCount, plural, toSentence } from './format.ts';

/** A failure in plain words, and what the person can do about it. */
export interface Explanation {
  readonly title: string;
  readonly text: string;
  /** A view of the page that helps. */
  readonly goTo: 'volunteer' | 'network' | null;
  readonly canRetry: boolean;
}

type Known = Omit<Explanation, 'text'> & { readonly text: string | ((error: ChorusError) => string) };

const KNOWN: Partial<Record<ErrorCode, Known>> = {
  'no-coverage': {
    title: 'Part of the model is not held by anyone right now',
    text: (error) =>
      `${missingLayers(error) ?? toSentence(error.message)} Open the Volunteer view on another device, or in a second tab, and press Start.`,
    goTo: 'volunteer',
    canRetry: true,
  },
  'too-few-volunteers': {
    title: 'Too few volunteers for this model',
    text: (error) => `${toSentence(error.message)} Open the Volunteer view on another device and press Start.`,
    goTo: 'volunteer',
    canRetry: true,
  },
  'all-busy': {
    title: 'Every volunteer is busy',
    text: 'All places are taken by other answers. Try again in a moment, or lend a device yourself.',
    goTo: 'volunteer',
    canRetry: true,
  },
  'too-long': {
    title: 'The conversation is too long for this model',
    text: (error) =>
      `${lengthOf(error)}Leave out its oldest turns, start a new conversation, or edit an earlier question to go on from there.`,
    goTo: null,
    canRetry: false,
  },
  'unknown-model': {
    title: 'The server does not have this model',
    text: 'Choose another model. The Network view lists those it has.',
    goTo: 'network',
    canRetry: false,
  },
  'not-found': {
    title: 'The server does not have this',
    text: (error) => toSentence(error.message),
    goTo: null,
    canRetry: true,
  },
  'server-lost': {
    title: 'The signal server cannot be reached',
    text: 'It may be restarting, or this device is offline. Nothing you wrote is lost.',
    goTo: null,
    canRetry: true,
  },
  'link-lost': {
    title: 'A volunteer left and nobody could take its place',
    text: 'Trying again asks for a new route round the volunteers that are there now.',
    goTo: 'network',
    canRetry: true,
  },
  timeout: {
    title: 'This took too long',
    text: (error) => `${toSentence(error.message)} Trying again asks for a new route.`,
    goTo: 'network',
    canRetry: true,
  },
  'rate-limited': {
    title: 'Too many requests from here',
    text: 'Wait a minute and try again.',
    goTo: null,
    canRetry: true,
  },
  'protocol-version': {
    title: 'This page is older or newer than the server',
    text: 'Reload the page to get the version that fits.',
    goTo: null,
    canRetry: false,
  },
  replaced: {
    title: 'Another tab took over',
    text: 'This browser has one key, and another tab of it connected with it. Close that tab, or go on there.',
    goTo: null,
    canRetry: true,
  },
  'digest-mismatch': {
    title: 'A downloaded file was not what it should be',
    text: 'It was thrown away. Trying again downloads it afresh.',
    goTo: null,
    canRetry: true,
  },
  'probe-failed': {
    title: 'This device computes differently',
    text: 'Its results on a known input were not those of the model, so it serves nobody. The CPU may work: choose it in the settings.',
    goTo: null,
    canRetry: true,
  },
  'out-of-memory': {
    title: 'Not enough room on this device',
    text: (error) => `${toSentence(error.message)} Lower the memory pledge, or close other tabs.`,
    goTo: null,
    canRetry: true,
  },
  'check-failed': {
    title: 'The volunteers could not agree',
    text: 'What they computed differs, and nobody could settle it. Trying again asks others where there are any.',
    goTo: 'network',
    canRetry: true,
  },
  retracted: {
    title: 'Text was taken back',
    text: 'What came before its check turned out to be computed wrongly.',
    goTo: null,
    canRetry: true,
  },
  'bad-signature': {
    title: 'The other end could not prove who it is',
    text: 'The connection was refused. Reload the page; if this stays, do not trust this server.',
    goTo: null,
    canRetry: true,
  },
};

/** Plain words for any error; codes without an entry keep their own message. */
export function explainError(error: ChorusError): Explanation {
  const known = KNOWN[error.code];
  if (error.code === 'too-long' && error.details['isFirst'] === true) {
    const title = 'This question is too long for this model';
    return { title, text: `${lengthOf(error)}Edit it, to ask something shorter.`, goTo: null, canRetry: false };
  }
  if (known === undefined) {
    return { title: 'Something went wrong', text: toSentence(error.message), goTo: null, canRetry: true };
  }
  return { ...known, text: typeof known.text === 'string' ? known.text : known.text(error) };
}

/** How long a prompt is, where that is known, as a sentence that another one follows. */
function lengthOf({ details: { promptTokens, maxPositions } }: ChorusError): string {
  if (typeof promptTokens !== 'number' || typeof maxPositions !== 'number') return '';
  return `It has ${plural(promptTokens, 'token')}; the model reads ${formatCount(maxPositions)}, its answer included. `;
}

function missingLayers(error: ChorusError): string | null {
  const missing = error.details['missing'];
  if (typeof missing !== 'object' || missing === null || !('start' in missing) || !('end' in missing)) return null;
  const [start, end] = [Number(missing.start), Number(missing.end)];
  if (!(end > start)) return null;
  return end - start === 1 ? `Nobody holds layer ${start}.` : `Nobody holds layers ${start} to ${end - 1}.`;
}
