# Cases run one after another in a child process. Its parent watches it: a step that takes more CPU
# time than the limit is killed (HANG), one that ends the process is noted (CRASH), and the next
# child goes on behind it. The child writes where it is into a file, "pid case step".

# User and system seconds of a process, NA where they cannot be had, NULL when it is gone.
cpu_seconds <- function(pid) {
  if (!dir.exists("/proc/self")) return(if (isTRUE(tools::pskill(pid, 0L))) NA else NULL)
  stat <- tryCatch(suppressWarnings(readLines(sprintf("/proc/%d/stat", pid), warn = FALSE)),
    error = function(e) character())
  if (!length(stat)) return(NULL)
  fields <- strsplit(sub("^.*\\) ", "", stat), " ")[[1L]]
  if (fields[1L] %in% c("Z", "X")) return(NULL)
  sum(as.double(fields[12:13])) / 100
}

read_beat <- function(beat) {
  x <- tryCatch(suppressWarnings(scan(beat, integer(), quiet = TRUE)), error = function(e) NULL)
  if (length(x) == 3L) list(pid = x[1L], case = x[2L], step = x[3L])
}

# Waits for a child: how it ended ("done", "HANG", "CRASH", "late" at the deadline), and at which
# case (NA when it never began).
watch_child <- function(beat, last, limit, deadline) {
  born <- seconds()
  at <- NULL
  repeat {
    Sys.sleep(.1)
    seen <- read_beat(beat)
    if (is.null(seen)) {
      if (seconds() - born > 120) return(list(status = "CRASH", case = NA))
      next
    }
    cpu <- cpu_seconds(seen$pid)
    if (is.null(cpu)) {
      seen <- read_beat(beat)
      return(list(status = if (seen$case > last) "done" else "CRASH", case = seen$case))
    }
    if (!identical(seen, at$seen)) at <- list(seen = seen, cpu = cpu, since = seconds())
    late <- too_long(at, cpu, limit)
    if (late || seconds() > deadline) {
      tools::pskill(seen$pid, tools::SIGKILL)
      return(list(status = if (late) "HANG" else "late", case = seen$case))
    }
  }
}

seconds <- function() proc.time()[["elapsed"]]

# By CPU time where it can be had; and a child that sleeps for ever is late too.
too_long <- function(at, cpu, limit) {
  waited <- seconds() - at$since
  if (is.na(cpu)) waited > 4 * limit else cpu - at$cpu > limit || waited > 40 * limit
}

# Runs cases first..last of a seed; start(first) starts a child, lost(case, status) is told of what
# did not come back. Value: the number of cases that were run.
supervise <- function(first, last, limit, deadline, beat, start, lost) {
  i <- first
  while (i <= last && seconds() < deadline) {
    unlink(beat)
    start(i)
    end <- watch_child(beat, last, limit, deadline)
    if (end$status == "done") return(last - first + 1L)
    if (end$status == "late") return(end$case - first)
    lost(end$case, end$status)
    if (is.na(end$case)) return(i - first)
    i <- end$case + 1L
  }
  i - first
}
