/** Records an example from the microphone as WAV, which every server reads. */

import { signal } from "../vendor/signals.js";
import { addLike } from "./examples.js";
import * as api from "./api.js";
import { stop as stopPlayer } from "./player.js";
import { complain } from "./toast.js";

const LONGEST_S = 30;

/** Seconds recorded so far, and the level now (0 to 1); null while nothing is recorded.
 *  @type {import("../vendor/signals.js").Signal<{seconds: number, level: number} | null>} */
export const recording = signal(null);

/** @type {(() => void) | null} */
let finish = null;

/** Begin to record, or end it and search. */
export async function toggleRecording() {
  if (finish) return finish();
  if (!navigator.mediaDevices?.getUserMedia) {
    return complain("This browser gives no microphone to this page (it does for localhost and https).");
  }
  /** @type {MediaStream} */
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    const isDenied = /** @type {Error} */ (error).name === "NotAllowedError";
    return complain(isDenied ? "The microphone is not allowed for this page: allow it in the address bar." : "There is no microphone.");
  }
  stopPlayer();
  const context = new AudioContext();
  await context.audioWorklet.addModule(new URL("microphone-worklet.js", import.meta.url));
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  /** @type {Float32Array[]} */
  const blocks = [];
  let samples = 0;
  recorder.port.onmessage = ({ data }) => {
    blocks.push(data);
    samples += data.length;
    const level = data.reduce((/** @type {number} */ most, /** @type {number} */ value) => Math.max(most, Math.abs(value)), 0);
    recording.value = { seconds: samples / context.sampleRate, level };
    if (samples > LONGEST_S * context.sampleRate) finish?.();
  };
  context.createMediaStreamSource(stream).connect(recorder);
  recording.value = { seconds: 0, level: 0 };
  finish = async () => {
    finish = null;
    recording.value = null;
    stream.getTracks().forEach((track) => track.stop());
    const sampleRate = context.sampleRate;
    await context.close();
    if (!samples) return;
    const name = `recorded ${new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}.wav`;
    try {
      const { upload } = await api.upload(wav(blocks, samples, sampleRate), name);
      addLike([{ upload, name, weight: 1 }]);
    } catch (error) {
      complain(error);
    }
  };
}

/** Mono WAV of 16 bits. @param {Float32Array[]} blocks @param {number} samples @param {number} sampleRate */
function wav(blocks, samples, sampleRate) {
  const view = new DataView(new ArrayBuffer(44 + samples * 2));
  const text = (/** @type {number} */ at, /** @type {string} */ value) => [...value].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + samples * 2, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, samples * 2, true);
  let at = 44;
  for (const block of blocks) {
    for (const value of block) {
      view.setInt16(at, Math.max(-1, Math.min(1, value)) * 32767, true);
      at += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}
