// GPT-2 was trained on no chat format, so there is no template to follow; this plain one is ours.
// docs/reference/model-server.md shows it; the tokenize endpoint counts with it.

/** One message, its content as text. */
export interface ChatMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant';
  readonly text: string;
}

/** Ends an answer: the model has begun to write the user's next line. */
export const chatStopText = '\nUser:';

/**
 * Writes a conversation as a text to be continued: system and developer messages as paragraphs, then `User: …` and
 * `Assistant: …` lines, then `Assistant:`.
 */
export function renderChat(messages: readonly ChatMessage[]): string {
  const parts = messages.map(({ role, text }) => {
    if (role === 'user') return `User: ${text}\n`;
    if (role === 'assistant') return `Assistant: ${text}\n`;
    return `${text}\n\n`;
  });
  return `${parts.join('')}Assistant:`;
}
