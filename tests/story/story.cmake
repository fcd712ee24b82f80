cairn_test(tracker_story SOURCES story/tracker_story.c LINKS cairn_sim cairn_tracker cairn_storage)
