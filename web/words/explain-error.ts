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

/** `text` is given what the error itself says, as a sentence; nothing where that is not in our words. */
type Known = Omit<Explanation, 'text'> & { readonly text: string | ((own: string, error: ChorusError) => string) };

const KNOWN: Partial<Record<ErrorCode, Known>> = {
  'no-coverage': {
    title: 'Part of the model is not held by anyone right now',
    text: (own, error) =>
      `${missingLayers(error) ?? own} Open the Volunteer view on another device, or in a second tab, and press Start.`,
    goTo: 'volunteer',
    canRetry: true,
  },
  'too-few-volunteers': {
    title: 'Too few volunteers for this model',
    text: (own) => `${own} Open the Volunteer view on another device and press Start.`,
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
    text: (_own, error) =>
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
    text: (own) => own || 'It may have been removed, or the address be wrong.',
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
    text: (own) => `${own} Trying again asks for a new route.`,
    goTo: 'network',
    canRetry: true,
  },
  'rate-limited': {
    title: 'Too many requests from here',
    text: (own) => `${own} Wait a minute and try again.`,
    goTo: null,
    canRetry: true,
  },
  'socket-refused': {
    title: 'No connection to the signal server comes about',
    text: (own) =>
      own || 'Something between this page and the server lets no connection through. Try another network or browser.',
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
    title: 'A file of the model was not what it should be',
    text: 'It was thrown away. Trying again downloads it afresh. If this stays, the disk of this device or of the server may be failing.',
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
    text: (own) => `${own} Lower the memory pledge, or close other tabs.`,
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
  'worker-lost': {
    title: 'The part of this page that computes has ended',
    text: 'The browser may be short of memory, or have lost a file of this page. Close other tabs and try again; if it stays, load this page again.',
    goTo: null,
    canRetry: true,
  },
  'device-lost': {
    title: 'The graphics device was lost',
    text: 'It may be in use by other programs. Try again, or choose the CPU in the settings.',
    goTo: null,
    canRetry: true,
  },
  'pin-mismatch': {
    title: 'This page is older or newer than the model asks for',
    text: (own) => `${own} Load this page again to get the version that fits.`,
    goTo: null,
    canRetry: false,
  },
  unsupported: {
    title: 'This browser cannot do this',
    text: (own) => own || 'Try a newer browser, or another one.',
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

/** Of code that this page had not loaded before it went. */
const PROGRAM_GONE: Explanation = {
  title: 'A part of this page could not be loaded',
  text: 'The page was probably updated while it was open: load it again. If this stays, the server cannot be reached.',
  goTo: null,
  canRetry: true,
};

/** For codes without an entry. */
const UNKNOWN: Known = {
  title: 'Something went wrong',
  text: (own) => own || 'Try again. If it stays, load this page again, or try another browser.',
  goTo: null,
  canRetry: true,
};

/** Plain words for any error. The platform's own are never among them: they are `error.raw`, for a report. */
export function explainError(error: ChorusError): Explanation {
  if (error.code === 'too-long' && error.details['isFirst'] === true) {
    const title = 'This question is too long for this model';
    return { title, text: `${lengthOf(error)}Edit it, to ask something shorter.`, goTo: null, canRetry: false };
  }
  if (error.code === 'internal' && error.details['isProgramGone'] === true) return PROGRAM_GONE;
  const known = KNOWN[error.code] ?? UNKNOWN;
  const own = toSentence(error.own ?? '');
  return { ...known, text: (typeof known.text === 'string' ? known.text : known.text(own, error)).trim() };
}

/** What an error says, as a sentence; where that is not in our words, what can be done. */
export function sentenceOf(error: ChorusError): string {
  return error.own === null ? explainError(error).text : toSentence(error.own);
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
