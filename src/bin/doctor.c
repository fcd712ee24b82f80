/* cairn doctor: what is wrong, most urgent first, with its place and what to do. */
#include "bin/verbs.h"

#include "base/units.h"
#include "bin/doctor_judge.h"
#include "bin/nodes.h"
#include "io/process.h"

struct doctor_options {
    struct common common;
    bool is_all, is_dump;
};

struct visit {
    struct session *session;
    struct nodes nodes;
    struct doctor doctor;
    size_t answered;
};

static json_t *ask_quietly(struct visit *visit, const struct node *node, const char *what)
{
    struct client_op op;
    char *text;
    if (err_is(status_fetch(visit->session, &node->address, what, &op, &text)))
        return NULL;
    json_t *root = json_loads(text, 0, NULL);
    mem_give(&visit->session->mem, text);
    return root;
}

static void visit_node(struct visit *visit, const struct node *node)
{
    char address[IO_ADDRESS_TEXT_MAX];
    json_t *own = ask_quietly(visit, node, "doctor");
    json_t *status = own ? ask_quietly(visit, node, "status") : NULL;
    if (!own || !status) {
        json_decref(own);
        doctor_judge_unreachable(
            &visit->doctor, node->name, io_address_format(&node->address, address));
        return;
    }
    visit->answered++;
    doctor_judge_node(&visit->doctor, node->name, own);
    doctor_judge_clock(
        &visit->doctor, json_number_of(status, "now"), io_wall(visit->session->io) / NS_PER_S);
    if (strcmp(json_text_of(status, "role"), "storage") == 0)
        doctor_judge_storage(&visit->doctor, node->name, status);
    json_decref(status);
    json_decref(own);
}

/* ---- telling ---- */

static void print_people(const struct visit *visit)
{
    const struct doctor *doctor = &visit->doctor;
    if (doctor->total == 0)
        (void)printf("healthy: nothing was found at %zu nodes\n", visit->answered);
    else
        (void)printf(
            "%zu findings at %zu nodes, most urgent first\n", doctor->total, visit->nodes.count);
    for (size_t i = 0; i < doctor->count; i++) {
        const struct doctor_finding *it = &doctor->findings[i];
        (void)printf("\n%u  %s  %s\n   %s\n   -> %s\n", it->urgency, it->code, it->node,
            it->sentence, it->next);
    }
    (void)fflush(stdout);
}

static json_t *finding_json(const struct doctor_finding *it)
{
    json_t *object = it->details ? json_copy(it->details) : json_object();
    (void)json_object_set_new(object, "node", json_string(it->node));
    (void)json_object_set_new(object, "code", json_string(it->code));
    (void)json_object_set_new(object, "urgency", json_integer(it->urgency));
    (void)json_object_set_new(object, "sentence", json_string(it->sentence));
    (void)json_object_set_new(object, "next", json_string(it->next));
    return object;
}

static void print_json(const struct visit *visit)
{
    const struct doctor *doctor = &visit->doctor;
    json_t *findings = json_array(), *nodes = json_array();
    for (size_t i = 0; i < doctor->count; i++)
        (void)json_array_append_new(findings, finding_json(&doctor->findings[i]));
    for (size_t i = 0; i < visit->nodes.count; i++)
        (void)json_array_append_new(nodes, json_string(visit->nodes.all[i].name));
    json_t *root = json_pack("{sbsososI}", "healthy", doctor->total == 0, "nodes", nodes,
        "findings", findings, "findings_left_off", (json_int_t)(doctor->total - doctor->count));
    (void)json_dumpf(root, stdout, JSON_COMPACT);
    json_decref(root);
    (void)printf("\n");
    (void)fflush(stdout);
}

static void dump_node(struct visit *visit, const struct node *node)
{
    struct client_op op;
    char *text;
    err_t err = status_fetch(visit->session, &node->address, "dump", &op, &text);
    if (err_is(err)) {
        session_fail(visit->session, node->name, err, op.sentence);
        return;
    }
    visit->session->tally.succeeded++;
    (void)printf("%s", text);
    mem_give(&visit->session->mem, text);
}

static int dump_run(struct visit *visit, const char *const *names, size_t name_count)
{
    if (nodes_find(&visit->nodes, visit->session, names, name_count))
        for (size_t i = 0; i < visit->nodes.count && !visit->session->was_interrupted; i++)
            dump_node(visit, &visit->nodes.all[i]);
    (void)fflush(stdout);
    return session_exit_code(visit->session);
}

static int doctor_run(struct visit *visit, const char *const *names, size_t name_count)
{
    if (!nodes_find(&visit->nodes, visit->session, names, name_count))
        return session_exit_code(visit->session);
    for (size_t i = 0; i < visit->nodes.count && !visit->session->was_interrupted; i++)
        visit_node(visit, &visit->nodes.all[i]);
    if (name_count == 0)
        doctor_judge_cluster(&visit->doctor, &visit->nodes.view);
    doctor_finish(&visit->doctor);
    if (visit->session->common->is_json)
        print_json(visit);
    else
        print_people(visit);
    bool is_healthy = visit->doctor.total == 0;
    doctor_free(&visit->doctor);
    return is_healthy ? 0 : err_exit_code(ERR_CODE_FAILED);
}

static int doctor_main(const struct verb *verb, int argc, char **argv)
{
    struct doctor_options options = {.common = COMMON_DEFAULT};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (options.is_all && first != argc)
        return usage_exit(verb, "either nodes or --all");
    struct session session;
    void *block;
    int code = session_open(&session, "doctor", &options.common, 1, 1);
    if (code != 0)
        return code;
    if (err_is(mem_take(&session.mem, &session.owner, sizeof(struct visit), 0, &block))) {
        session_close(&session);
        return err_exit_code(ERR_CODE_NO_RESOURCE);
    }
    struct visit *visit = block;
    visit->session = &session;
    const char *const *names = (const char *const *)(void *)(argv + first);
    size_t name_count = (size_t)(argc - first);
    code =
        options.is_dump ? dump_run(visit, names, name_count) : doctor_run(visit, names, name_count);
    mem_give(&session.mem, visit);
    session_close(&session);
    return code;
}

static const struct arg rows[] = {
    {.name = "all",
        .kind = ARG_FLAG,
        .text = "every tracker and storage (the same as naming none)",
        .offset = offsetof(struct doctor_options, is_all)},
    {.name = "dump",
        .kind = ARG_FLAG,
        .text = "print what each node would say if it crashed now: what it holds, its last events",
        .offset = offsetof(struct doctor_options, is_dump)},
    COMMON_ROWS(struct doctor_options),
};

const struct verb doctor_verb = {
    .name = "doctor",
    .brief = "what is wrong in the cluster, most urgent first, and what to do",
    .usage = "[NODE...|--all] [options]",
    .about =
        "Asks every node for its leaks and how it stands beside the kernel and its limits, for\n"
        "disks, mirrors and queues; looks at clocks and at addresses that cannot be reached. "
        "Prints\n"
        "findings in order of urgency: 1 it has failed or will, 2 something is wrong, 3 look at "
        "it.\n"
        "Exit code 0: healthy, 1: there are findings. doc/sight.md names all findings.",
    .examples = "  cairn doctor\n"
                "  cairn doctor m002 --json | jq '.findings[0]'",
    .args = {rows, ARRAY_LEN(rows)},
    .run = doctor_main,
};
