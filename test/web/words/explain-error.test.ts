import { describe, expect, test } from 'vitest';
import { ChorusError, ERROR_CODES, toChorusError } from '#shared/errors.ts';
import { explainError, sentenceOf } from '../../../web/words/explain-error.ts';

describe('an error is explained with what to do about it', () => {
  test('missing layers are named, and the Volunteer view offered', () => {
    const explanation = explainError(new ChorusError('no-coverage', 'x', { missing: { start: 4, end: 8 } }));
    expect(explanation.text).toContain('Nobody holds layers 4 to 7.');
    expect(explanation.goTo).toBe('volunteer');
  });

  test('a single missing layer is named as one', () => {
    const explanation = explainError(new ChorusError('no-coverage', 'x', { missing: { start: 4, end: 5 } }));
    expect(explanation.text).toContain('Nobody holds layer 4.');
  });

  test.each([[{ missing: null }], [{}], [{ missing: 'layers' }], [{ missing: { start: 4, end: 4 } }]])(
    'without usable layers in %j the server’s own words are used',
    (details) => {
      const { text } = explainError(new ChorusError('no-coverage', 'nobody holds the head', details));
      expect(text).toMatch(/^Nobody holds the head\. /);
    },
  );

  test('a code without an entry keeps its message, as a sentence', () => {
    const explanation = explainError(new ChorusError('internal', 'the sky fell'));
    expect(explanation).toEqual({ title: 'Something went wrong', text: 'The sky fell.', goTo: null, canRetry: true });
  });

  test('a want of room says what is full', () => {
    const { title, text } = explainError(new ChorusError('out-of-memory', 'no room for files: 5 of 5 MB are in use.'));
    expect(title).toBe('Not enough room on this device');
    expect(text).toMatch(/^No room for files: 5 of 5 MB are in use\. Lower the memory pledge/);
  });

  test('a first question that is too long is not called a conversation', () => {
    const details = { promptTokens: 700, maxPositions: 512 };
    const first = explainError(new ChorusError('too-long', 'x', { ...details, isFirst: true }));
    expect(first.title).toBe('This question is too long for this model');
    expect(first.text).toBe(
      'It has 700 tokens; the model reads 512, its answer included. Edit it, to ask something shorter.',
    );
    const later = explainError(new ChorusError('too-long', 'x', { ...details, isFirst: false }));
    expect(later.title).toBe('The conversation is too long for this model');
    expect(later.text).toContain('Leave out its oldest turns');
  });

  // As browsers say it when storage, a module or a binary fails.
  test.each([
    new DOMException('The object can not be cloned.', 'DataCloneError'),
    new DOMException('An attempt was made to use an object that is not usable.', 'InvalidStateError'),
    new TypeError('Failed to fetch dynamically imported module: http://localhost/assets/join-1a2b.js'),
    new Error('Aborted(CompileError: expected magic word 00 61 73 6d, found 3c 21 64 6f)'),
  ])('the browser’s own words are kept for a report, whatever the code: %s', (thrown) => {
    for (const code of ERROR_CODES) {
      const error = toChorusError(thrown, code);
      const { title, text } = explainError(error);
      for (const told of [title, text, sentenceOf(error)]) expect(told).not.toContain(thrown.message);
      expect(text).toMatch(/^[A-Z].*\.$/);
      expect(error.raw).toBe(thrown.message);
    }
  });

  test('what trying again cannot cure offers no second try', () => {
    expect(explainError(new ChorusError('too-long', 'x')).canRetry).toBe(false);
  });
});
