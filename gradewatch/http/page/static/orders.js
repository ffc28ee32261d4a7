// What may be done from here: hold and resume the repairs, put a job back, undo a sweep. Each asks first.

import { notice } from "./announce.js";
import { order } from "./api.js";
import { ask, choice, field } from "./ask.js";
import { clock, count, cut, visible } from "./format.js";

const LENGTHS = [["15m", "15 minutes"], ["30m", "30 minutes"], ["1h", "1 hour"], ["4h", "4 hours"], ["", "Until somebody resumes"]];
const reason = () => field("reason", "Reason", { maxlength: 500 }, "Optional; kept in the audit trail.");

export const orders = {
  pause: () => ({
    title: "Pause repairs?",
    text: "Gradewatch goes on looking and telling, and repairs nothing. The time is credited to every waiting job.",
    fields: [choice("for", "For", LENGTHS), reason()],
    confirm: "Pause repairs",
    path: "api/pause",
    body: (values) => ({ for: values.for, reason: values.reason.trim() }),
    done: (held) => (held.until ? `Repairs are paused until ${clock(held.until)}.` : "Repairs are paused until somebody resumes them."),
  }),
  resume: () => ({
    title: "Resume repairs?",
    text: "Gradewatch repairs again from its next cycle on.",
    confirm: "Resume repairs",
    path: "api/resume",
    body: () => ({}),
    done: (told) => (told.was_paused ? "Repairs go on." : "Nothing was paused: somebody was faster."),
  }),
  requeue: (data) => ({
    title: `Put job ${cut(visible(data.id), 40)} back into its queue?`,
    text: data.state === "running"
      ? "It is running. Its worker is told to stop, and another one takes the job over; papers already graded are kept."
      : "A worker takes it up again. Papers that were graded already are kept.",
    fields: [reason()],
    confirm: "Put it back",
    path: `api/jobs/${encodeURIComponent(data.id)}/requeue`,
    body: (values) => ({ reason: values.reason.trim() }),
    done: () => `Job ${cut(data.id, 40)} waits in its queue again.`,
  }),
  undo: (data) => ({
    title: "Undo this sweep?",
    text: `Every job that is still as sweep ${cut(visible(data.sweep), 60)} left it is put back as it was before. What has moved on stays.`,
    confirm: "Undo",
    path: "api/undo",
    body: () => ({ sweep: data.sweep }),
    done: (told) => `${count(told.undone, "job")} put back${told.left ? `, ${told.left} left as they are` : ""}.`,
  }),
};

/** Carry out the order that a button names, and `after` it look again. */
export function follow(button, after) {
  const wanted = orders[button.dataset.action]?.(button.dataset);
  if (!wanted) return;
  ask({
    ...wanted,
    async carryOut(values, token) {
      const told = await order(wanted.path, wanted.body(values), token);
      notice(wanted.done(told));
      after();
    },
  });
}
